/**
 * The HTTP surface of introspect (introspect reference 1.1): paths match exactly, method and body are ignored, errors are
 * documents. Browsers get HTML, everybody else the wire XML.
 */

import express, { type Express, type Request as HttpRequest, type Response } from 'express'
import { prefersHtml } from './accept.ts'
import { parseArguments } from './arguments.ts'
import type { IntrospectContext } from './context.ts'
import { internalError, NOT_FOUND } from './errors.ts'
import { homeToHtml } from './html/home.ts'
import { moduleToHtml, requestToHtml } from './html/request-page.ts'
import { MODULES, moduleIndexToHtml, moduleToXml } from './modules.ts'
import type { Request } from './request.ts'
import { argumentsOf, requestOf } from './requests.ts'
import { stylesheet } from './stylesheet.ts'
import { type Turn, Turns } from './turns.ts'
import { documentToXml, type Messages } from './wire.ts'

export function introspectApp(context: IntrospectContext): Express {
  const app = express()
  const turns = new Turns({ isUrgent: context.isBusy })
  app.disable('x-powered-by')
  app.disable('etag')
  app.use((http, response) => {
    response.sendDate = false
    answer(http, response, context, turns).catch((error: unknown) => {
      context.onError?.(error, http.url)
      response.destroy()
    })
  })
  return app
}

async function answer(http: HttpRequest, response: Response, context: IntrospectContext, turns: Turns): Promise<void> {
  const client = new Client(response, turns)
  if (!(await client.begin())) return response.destroyed ? undefined : busy(response)
  try {
    await answerInTurn(http, client, context)
  } finally {
    client.end()
  }
}

async function answerInTurn(http: HttpRequest, client: Client, context: IntrospectContext): Promise<void> {
  const { response } = client
  const mark = http.url.indexOf('?')
  const path = mark < 0 ? http.url : http.url.slice(0, mark)
  const query = mark < 0 ? '' : http.url.slice(mark + 1)
  const isBrowser = prefersHtml(http.headers.accept)
  if (path === '/' || path === '/index.html') {
    return isBrowser
      ? sendHtml(response, await homeToHtml(context))
      : sendWhole(response, undefined, moduleIndexToHtml())
  }
  if (path === '/universal_parse.xsl') return sendWhole(response, 'text/xsl', stylesheet)
  const module = /^\/(\w+)\.xml$/.exec(path)?.[1]
  if (module !== undefined && Object.hasOwn(MODULES, module)) {
    if (isBrowser) return sendHtml(response, moduleToHtml(module, context))
    return sendWhole(response, 'text/xml', moduleToXml(module, argumentsOf))
  }
  const isRaw = path.startsWith(RAW)
  const target = isRaw ? path.slice(RAW.length) : path
  const request = target.startsWith('/Snh_') ? requestOf(target.slice('/Snh_'.length)) : undefined
  if (request === undefined) return notFound(response)
  if (isBrowser && !isRaw) return sendPage(client, request, query, context)
  await sendDocument(client, isRaw ? 'text/plain; charset=utf-8' : 'text/xml', await execute(request, query, context))
}

/** `/xml/Snh_…` shows the wire text of a page to people whose browser would get HTML. */
const RAW = '/xml'

async function sendPage(client: Client, request: Request, query: string, context: IntrospectContext): Promise<void> {
  const messages = await answerOf(request, query, context)
  htmlHeaders(client.response)
  await sendPieces(client, requestToHtml(request.name, query, messages, context))
}

function sendHtml(response: Response, body: string): void {
  htmlHeaders(response)
  sendWhole(response, 'text/html; charset=utf-8', body)
}

/** Which of the two a client gets hangs on its Accept, and pages are never old. */
function htmlHeaders(response: Response): void {
  response.setHeader('Content-Type', 'text/html; charset=utf-8')
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('Vary', 'Accept')
}

async function answerOf(request: Request, query: string, context: IntrospectContext): Promise<Messages> {
  try {
    return await request.answer(parseArguments(request.args, query), context)
  } catch (error) {
    context.onError?.(error, request.name)
    return internalError()
  }
}

/** A page that fails while it is put together is an InternalErrResp; one that fails while it is sent ends the connection. */
async function execute(
  request: Request,
  query: string,
  context: IntrospectContext,
): Promise<Awaited<ReturnType<typeof documentToXml>>> {
  try {
    return await documentToXml(await answerOf(request, query, context))
  } catch (error) {
    context.onError?.(error, request.name)
    return documentToXml(internalError())
  }
}

async function sendDocument(
  client: Client,
  contentType: string,
  { isList, pieces }: Awaited<ReturnType<typeof documentToXml>>,
): Promise<void> {
  const { response } = client
  response.setHeader('Content-Type', contentType)
  if (isList) return sendPieces(client, pieces)
  for await (const piece of pieces) sendWhole(response, contentType, piece)
}

/** Others have their turn between pieces, and while a slow reader takes what was sent. */
async function sendPieces(client: Client, pieces: AsyncIterable<string>): Promise<void> {
  const { response } = client
  for await (const piece of pieces) {
    if (response.write(piece)) await client.rest()
    else await client.drained()
    if (response.destroyed) return
  }
  response.end()
}

/** Milliseconds that a reader may take for what lies in its buffer; then it doesn't read. */
const READ_MS = 10_000

/** Who has asked for a page, and its turn at the event loop. */
class Client {
  readonly response: Response
  readonly #turns: Turns
  readonly #gone = new AbortController()
  #turn: Turn | undefined

  constructor(response: Response, turns: Turns) {
    this.response = response
    this.#turns = turns
    response.on('close', () => this.#gone.abort())
  }

  /** False: it is gone, or too many others wait. */
  async begin(): Promise<boolean> {
    this.#turn = await this.#turns.take(this.#gone.signal)
    return this.#turn !== undefined
  }

  rest(): Promise<void> {
    return this.#turn!.rest()
  }

  /** Resolves when it has read, or is gone, and it is its turn again. */
  async drained(): Promise<void> {
    this.end()
    const { response } = this
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => response.destroy(), READ_MS)
    response.once('drain', resolve).once('close', resolve)
    await promise
    clearTimeout(timer)
    response.off('drain', resolve).off('close', resolve)
    if (!(await this.begin())) response.destroy()
  }

  end(): void {
    this.#turn?.[Symbol.dispose]()
    this.#turn = undefined
  }
}

function sendWhole(response: Response, contentType: string | undefined, body: string | Buffer): void {
  const bytes = Buffer.from(body)
  if (contentType !== undefined) response.setHeader('Content-Type', contentType)
  response.setHeader('Content-Length', bytes.length)
  response.end(bytes)
}

/** Clients of introspect know nothing of it; scripts ask again. */
function busy(response: Response): void {
  response.statusCode = 503
  response.setHeader('Retry-After', '1')
  sendWhole(response, 'text/plain; charset=utf-8', 'too many pages are being asked for\n')
}

function notFound(response: Response): void {
  response.statusCode = 404
  sendWhole(response, 'text/html; charset=UTF-8', NOT_FOUND)
}
