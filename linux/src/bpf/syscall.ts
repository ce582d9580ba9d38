/**
 * bpf(2): one function per command, numbers and bytes in, numbers and bytes out. Descriptors returned are the caller's to close; all are
 * close-on-exec. Access to elements of maps is in `map.ts`, which keeps its attribute block between calls.
 */

export { BpfCommand } from './command.ts'
export * from './link.ts'
export * from './map-command.ts'
export * from './pin.ts'
export * from './program.ts'
