/**
 * Error documents. Bad arguments are never an HTTP error: clients get one of these with status 200, or an empty list.
 * Texts, with their blanks, are compared by clients (introspect reference 1.6).
 */
import { field, type Message, message, struct } from './wire.ts'

const resp = [field(1, 'resp', 'string')] as const
const errorResp = struct('ErrorResp', resp)
const errResp = struct('ErrResp', resp)
const internalErrResp = struct('InternalErrResp', resp)
const flowErrorResp = struct('FlowErrorResp', resp)

export const INVALID_INPUT = '   Invalid Input !!!   '

export function agentError(text = INVALID_INPUT): Message[] {
  return [message(errorResp, { resp: text })]
}

export function kernelError(text = INVALID_INPUT): Message[] {
  return [message(errResp, { resp: text })]
}

export function internalError(): Message[] {
  return [message(internalErrResp, { resp: '   Internal Error !!!   ' })]
}

export function noSuchFlow(): Message[] {
  return [message(flowErrorResp, { resp: 'No Flow Record for specified key ' })]
}

/** Body of a 404: 46 bytes, the last of them NUL. */
export const NOT_FOUND = Buffer.from('<html>\n<title>404 Not Found</title>\n</html>\r\n\0', 'latin1')
