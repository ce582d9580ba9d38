/** libbpf.so.1 by its dlopen name: the functions that `object.ts` uses, and its log. Opened on first use, so that users of plain maps don't need it. */

import { allocate, type Library, library, stringAt } from '../ffi.ts'

const FUNCTIONS = {
  bpf_object__open_mem: { arguments: ['pointer', 'uint64', 'pointer'], return: 'pointer' },
  bpf_object__load: { arguments: ['pointer'], return: 'int32' },
  bpf_object__close: { arguments: ['pointer'], return: 'void' },
  bpf_object__find_map_by_name: { arguments: ['pointer', 'string'], return: 'pointer' },
  bpf_object__find_program_by_name: { arguments: ['pointer', 'string'], return: 'pointer' },
  bpf_object__next_map: { arguments: ['pointer', 'pointer'], return: 'pointer' },
  bpf_object__next_program: { arguments: ['pointer', 'pointer'], return: 'pointer' },
  bpf_map__name: { arguments: ['pointer'], return: 'pointer' },
  bpf_map__type: { arguments: ['pointer'], return: 'uint32' },
  bpf_map__key_size: { arguments: ['pointer'], return: 'uint32' },
  bpf_map__value_size: { arguments: ['pointer'], return: 'uint32' },
  bpf_map__fd: { arguments: ['pointer'], return: 'int32' },
  bpf_map__set_max_entries: { arguments: ['pointer', 'uint32'], return: 'int32' },
  bpf_map__set_pin_path: { arguments: ['pointer', 'string'], return: 'int32' },
  bpf_map__reuse_fd: { arguments: ['pointer', 'int32'], return: 'int32' },
  bpf_map__initial_value: { arguments: ['pointer', 'pointer'], return: 'pointer' },
  bpf_program__name: { arguments: ['pointer'], return: 'pointer' },
  bpf_program__section_name: { arguments: ['pointer'], return: 'pointer' },
  bpf_program__type: { arguments: ['pointer'], return: 'uint32' },
  bpf_program__set_type: { arguments: ['pointer', 'uint32'], return: 'int32' },
  bpf_program__set_expected_attach_type: { arguments: ['pointer', 'uint32'], return: 'int32' },
  bpf_program__fd: { arguments: ['pointer'], return: 'int32' },
  bpf_program__insns: { arguments: ['pointer'], return: 'pointer' },
  bpf_program__insn_cnt: { arguments: ['pointer'], return: 'uint64' },
  bpf_program__set_autoload: { arguments: ['pointer', 'uint8'], return: 'int32' },
  libbpf_set_print: { arguments: ['pointer'], return: 'pointer' },
  libbpf_version_string: { arguments: [], return: 'pointer' },
} as const

type Opened = ReturnType<typeof library<typeof FUNCTIONS>>
export type LibbpfFunctions = Opened['functions']

let opened: Opened | undefined
let printer: bigint | undefined
let captured: string[] | undefined

export function libbpf(): LibbpfFunctions {
  return open().functions
}

/** Such as 'v1.1'. */
export function libbpfVersion(): string {
  return stringAt(libbpf().libbpf_version_string())
}

function open(): Opened {
  if (!opened) {
    opened = library('libbpf.so.1', FUNCTIONS)
    // Nothing of libbpf ever goes to this process's stderr.
    opened.functions.libbpf_set_print(0n)
  }
  return opened
}

const WARNING_LEVEL = 0
const LINE_BYTES = 64 * 1024

/** Runs `fn` and returns what libbpf logged meanwhile (warnings only). */
export function captureLog(fn: () => void): string[] {
  const { functions, lib } = open()
  printer ??= registerPrinter(lib)
  const outer = captured
  const lines: string[] = []
  captured = lines
  functions.libbpf_set_print(printer)
  try {
    fn()
  } finally {
    captured = outer
    if (!outer) functions.libbpf_set_print(0n)
  }
  return lines
}

/** libbpf hands over a format and a va_list, which is a pointer in the calling conventions of x86-64 and arm64: libc renders it. */
function registerPrinter(lib: Library): bigint {
  const { vsnprintf } = library('libc.so.6', {
    vsnprintf: { arguments: ['pointer', 'uint64', 'pointer', 'pointer'], return: 'int32' },
  }).functions
  const line = allocate(LINE_BYTES)
  return lib.registerCallback(
    { arguments: ['int32', 'pointer', 'pointer'], return: 'int32' },
    (level, format, list) => {
      if (level > WARNING_LEVEL || !captured) return 0
      vsnprintf(line.address, BigInt(LINE_BYTES), format, list)
      captured.push(stringAt(line.address))
      return 0
    },
  )
}
