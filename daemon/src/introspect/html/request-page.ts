/** A request's answer for browsers, and the module pages with a form for each request. */
import type { Arguments } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { MODULES } from '../modules.ts'
import { argumentsOf, isServed } from '../requests.ts'
import type { Messages } from '../wire.ts'
import { type Frame, pageFoot, pageHead, toolbar } from './layout.ts'
import { type Html, html } from './markup.ts'
import { MessageRenderer } from './message.ts'
import { TITLES } from './titles.ts'

const KERNEL_MODULE = 'kstate'

/** The page in pieces, one per message. */
export async function* requestToHtml(
  name: string,
  query: string,
  messages: Messages,
  context: IntrospectContext,
): AsyncGenerator<string> {
  const [title, about] = TITLES[name] ?? [name, '']
  const module = Object.keys(MODULES).find((candidate) => MODULES[candidate]!.includes(name)) ?? 'agent'
  yield pageHead(frameOf(name, title, module), context).markup
  yield html`<h1>${title}</h1><p class="about">${about} <code>${name}${query === '' ? '' : `?${decoded(query)}`}</code></p>${tools(name, query)}`
    .markup
  const renderer = new MessageRenderer()
  for await (const message of messages) yield renderer.message(message).markup
  yield renderer.end().markup
  yield pageFoot().markup
}

function frameOf(name: string, title: string, module: string): Frame {
  return {
    title,
    crumbs: [
      { text: 'Overview', href: '/' },
      { text: module, href: `/${module}.xml` },
      { text: name, href: `/Snh_${name}` },
    ],
    current: module === KERNEL_MODULE ? '/kstate.xml' : `/Snh_${name}`,
  }
}

function decoded(query: string): string {
  try {
    return decodeURIComponent(query)
  } catch {
    return query
  }
}

function tools(name: string, query: string): Html {
  const args = argumentsOf(name)
  const raw = `/xml/Snh_${name}${query === '' ? '' : `?${query}`}`
  const form =
    Object.keys(args).length === 0
      ? undefined
      : html`<details class="card slim"><summary>Arguments</summary>${argumentForm(name, args, query)}</details>`
  return html`${toolbar(
    html`<label class="switch"><input type="checkbox" id="show-empty"> Empty fields</label><span class="space"></span><a class="button" href="${raw}">XML</a>`,
  )}${form}`
}

function argumentForm(name: string, args: Arguments, query = ''): Html {
  const given = new URLSearchParams(query)
  return html`<form class="arguments" method="get" action="/Snh_${name}">${Object.entries(args).map(
    ([argument, { type }]) =>
      html`<label>${argument}<input type="text" name="${argument}" placeholder="${type}" value="${given.get(argument) ?? ''}"></label>`,
  )}<button>Ask</button></form>`
}

/** `/<module>.xml` for browsers. */
export function moduleToHtml(module: string, context: IntrospectContext): string {
  const frame = {
    title: module,
    crumbs: [{ text: 'Overview', href: '/' }, { text: module }],
    current: `/${module}.xml`,
  }
  const requests = MODULES[module]!
  return [
    pageHead(frame, context),
    html`<h1>${module}</h1><p class="about">${requests.length} requests, with the arguments that they take</p>`,
    moduleLinks(module),
    requests.map((name) => requestCard(name)),
    pageFoot(),
  ]
    .map((part) => html`${part}`.markup)
    .join('')
}

function moduleLinks(current: string): Html {
  const links = Object.keys(MODULES).filter((module) => MODULES[module]!.length > 0)
  return html`<div class="toolbar">${links.map((module) =>
    module === current ? html`<b>${module}</b>` : html`<a href="/${module}.xml">${module}</a>`,
  )}</div>`
}

function requestCard(name: string): Html {
  const args = argumentsOf(name)
  const [title, about] = TITLES[name] ?? ['', '']
  const state = isServed(name) ? undefined : html` <span class="badge">not served</span>`
  const form = Object.keys(args).length === 0 ? undefined : argumentForm(name, args)
  return html`<section class="card"><h2><a href="/Snh_${name}">${name}</a>${state} <span class="soft">${title === '' ? '' : `${title}: ${about}`}</span></h2>${form}</section>`
}
