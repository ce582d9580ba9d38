/**
 * On a node: for each line {"pid":…,"address":…} on standard input one ping, no second one, from the network of that process. Prints
 * {"address":…,"at":…,"isLost":…}; `at`: when it was sent, milliseconds since the epoch.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { pid, address } = JSON.parse(line) as { pid: number; address: string }
    const at = performance.timeOrigin + performance.now()
    const child = spawn('nsenter', [`--target=${pid}`, '--net', 'busybox', 'ping', '-c', '1', '-W', '1', address], {
      stdio: 'ignore',
    })
    child.on('exit', (status) => console.log(JSON.stringify({ address, at, isLost: status !== 0 })))
  })
  .on('close', () => process.exit())
