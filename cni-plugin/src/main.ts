/**
 * The CNI binary: reads environment and stdin, does one command, prints one JSON document at the most. Everything is synchronous. A runtime starts one
 * process per call and waits for it, so what counts is the time until the answer: nothing is loaded that the command doesn't need.
 */

import { readSync, writeSync } from 'node:fs'
import { POLLIN, poll } from '@kube-vrouter/linux/ffi'
import { add } from './add.ts'
import { check } from './check.ts'
import { type NetworkConfig, parseConfig } from './config.ts'
import { isFromDaemon } from './daemon.ts'
import { del } from './del.ts'
import { type Command, readAttachment, readCommand, unknownCommand } from './environment.ts'
import { CniError, cniErrorOf, ErrorCode, errorDocument } from './errors.ts'
import { gc } from './gc.ts'
import { fieldOf, type Json } from './json.ts'
import { log, report } from './log.ts'
import { status } from './status.ts'
import { version } from './version.ts'
import { isSupported, LATEST, SUPPORTED_VERSIONS } from './versions.ts'

/** More than any configuration, with a prevResult of many interfaces. */
const MAX_STDIN = 4 * 1024 * 1024

const VERSION_STDIN_MS = 250

/** What stdin said, for the error document and the log; the command may fail before it is read. */
let config: NetworkConfig | undefined
let askedVersion: string | undefined

function run(): void {
  const command = readCommand(process.env)
  switch (command) {
    case 'VERSION':
      print(version(readVersionStdin()))
      break
    case 'ADD': {
      const attachment = readAttachment(command, process.env)
      add(readConfig(command), attachment, print)
      break
    }
    case 'DEL': {
      const attachment = readAttachment(command, process.env)
      del(readConfig(command), attachment)
      break
    }
    case 'CHECK': {
      const attachment = readAttachment(command, process.env)
      check(readConfig(command), attachment)
      break
    }
    case 'STATUS':
      status(readConfig(command))
      break
    case 'GC':
      gc(readConfig(command))
      break
    case undefined:
      readConfig(command)
      throw unknownCommand(process.env['CNI_COMMAND'])
    default:
      throw command satisfies never
  }
}

function readConfig(command: Command | undefined): NetworkConfig {
  const text = readStdin()
  askedVersion = versionIn(text)
  config = parseConfig(text, command)
  return config
}

/** VERSION's stdin may be empty, or one that nobody ever closes. */
function readVersionStdin(): string {
  const [ready] = poll([{ fd: 0, events: POLLIN }], VERSION_STDIN_MS)
  return ready ? readStdin() : ''
}

/** stdin to its end, whatever kind of file it is. */
function readStdin(): string {
  const chunks: Buffer[] = []
  let size = 0
  for (;;) {
    const chunk = Buffer.allocUnsafe(64 * 1024)
    let length: number
    try {
      length = readSync(0, chunk)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EOF') break
      if (code === 'EAGAIN') {
        sleep(2)
        continue
      }
      throw new CniError(
        ErrorCode.IO_FAILURE,
        `error reading from stdin: ${code}`,
        'the runtime passes the network configuration on stdin',
      )
    }
    if (length === 0) break
    size += length
    if (size > MAX_STDIN)
      throw new CniError(
        ErrorCode.IO_FAILURE,
        `error reading from stdin: it is longer than ${MAX_STDIN} bytes`,
        'shorten the network configuration',
      )
    chunks.push(chunk.subarray(0, length))
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The version of a configuration that may be wrong otherwise: errors are told in the caller's version where we speak it. */
function versionIn(text: string): string | undefined {
  try {
    const cniVersion = fieldOf(JSON.parse(text) as Json, 'cniVersion')
    return typeof cniVersion === 'string' ? cniVersion : undefined
  } catch {
    return undefined
  }
}

/** Writes all of it: a pipe may be non-blocking, and full. */
function print(document: object): void {
  let rest = Buffer.from(`${JSON.stringify(document)}\n`)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EAGAIN') throw new CniError(ErrorCode.IO_FAILURE, `cannot write the result to stdout: ${code}`)
      sleep(2)
    }
  }
}

function printError(document: object): void {
  try {
    print(document)
  } catch {
    // The exit code has to do.
  }
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Returns the exit code. */
function main(): number {
  if (!process.env['CNI_COMMAND']) {
    writeSync(
      2,
      `kube-vrouter CNI plugin: a container runtime runs it\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}\n`,
    )
    return 0
  }
  const started = performance.now()
  const { CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_IFNAME: ifname, CNI_ARGS: args } = process.env
  const call = { command, containerId, ifname, args }
  try {
    run()
    if (config)
      log(config, command === 'STATUS' ? 'debug' : 'info', {
        ...call,
        ms: Math.round(performance.now() - started),
      })
    return 0
  } catch (thrown) {
    const error = cniErrorOf(thrown)
    printError(errorDocument(error, isSupported(askedVersion) ? askedVersion : LATEST))
    if (config) {
      const ms = Math.round(performance.now() - started)
      log(config, 'error', { ...call, ms, code: error.code, error: error.message, details: error.details })
      // STATUS is asked every few seconds, and its answer is the daemon's own.
      if (command !== 'STATUS' && !isFromDaemon(error)) {
        const { code, details = '' } = error
        report(config, `${command} failed: ${error.message}`, {
          ...{ containerId: containerId ?? '', ifname: ifname ?? '', code, details, ms },
        })
      }
    }
    return 1
  }
}

// All output is written by now. Node would take itself apart for 4 ms before it ends by itself.
process.exit(main())
