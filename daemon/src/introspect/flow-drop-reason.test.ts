import assert from 'node:assert/strict'
import { dropReasonName, dropReasonText } from '../maps/flow-drop-reasons.ts'
import { dropReasonWord } from './pages/kstate-flow.ts'

describe('the drop reason of a flow', () => {
  it('is the same for the page and for the tool, by its number', () => {
    for (const [number, name] of [
      [0x00, 'Unknown'],
      [0x05, 'NoDstRt'],
      [0x11, 'SameFlowRflowKey'],
      [0x15, 'Policy'],
      [0x17, 'SG'],
      [0x1e, 'RevOutFwPolicy'],
    ] as const) {
      assert.deepEqual([dropReasonName(number), dropReasonWord(number)], [name, name])
    }
  })

  it('is put in words in records of flows', () => {
    const texts = [0x00, 0x05, 0x15, 0x1e, 0x60].map(dropReasonText)
    const short = 'Short flow No Destination route'
    assert.deepEqual(texts, ['UNKNOWN', short, 'Flow drop Policy', 'Flow drop REVERSE OUT Firewall Policy', 'UNKNOWN'])
  })

  it('is Unknown on the page where the page has no word, and a number in the tool where there is no name', () => {
    assert.deepEqual([dropReasonName(0x0d), dropReasonWord(0x0d)], ['VrouterInstallFail', 'Unknown'])
    assert.deepEqual([dropReasonName(0x60), dropReasonWord(0x60)], ['96', 'Unknown'])
  })
})
