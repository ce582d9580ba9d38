/** What is around every HTML page: head, navigation, breadcrumb. */
import type { IntrospectContext } from '../context.ts'
import { type Html, html, trusted } from './markup.ts'
import { script } from './script.ts'
import { styles } from './styles.ts'

export interface Crumb {
  readonly text: string
  readonly href?: string
}

export interface Frame {
  readonly title: string
  readonly crumbs: readonly Crumb[]
  /** Path of the navigation entry that this page belongs to. */
  readonly current?: string
}

const NAVIGATION: readonly (readonly [path: string, name: string])[] = [
  ['/', 'Overview'],
  ['/Snh_ItfReq', 'Interfaces'],
  ['/Snh_VnListReq', 'Networks'],
  ['/Snh_VrfListReq', 'VRFs'],
  ['/Snh_NhListReq', 'Nexthops'],
  ['/Snh_MplsReq', 'Labels'],
  ['/Snh_ServiceListReq', 'Services'],
  ['/Snh_FetchAllFlowRecords', 'Flows'],
  ['/kstate.xml', 'Kernel'],
  ['/agent.xml', 'All pages'],
]

const LOGO = trusted(
  '<svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true"><g fill="none" stroke="var(--accent)" stroke-width="1.8">' +
    '<path d="M5 5.5 11 11m6-5.5L11 11m0 0v6.5"/></g><g fill="var(--accent)"><circle cx="4.4" cy="4.8" r="2.6"/>' +
    '<circle cx="17.6" cy="4.8" r="2.6"/><circle cx="11" cy="18" r="2.6"/><circle cx="11" cy="11" r="2"/></g></svg>',
)

/** Everything up to the page's own content. */
export function pageHead({ title, crumbs, current }: Frame, context: IntrospectContext): Html {
  const { node, underlay } = context.facts()
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${title} · ${node}</title><style>${trusted(styles)}</style></head><body>
<header><a class="brand" href="/">${LOGO} kube-vrouter</a><nav>${NAVIGATION.map(
    ([path, name]) =>
      html`<a href="${path}"${path === current ? trusted(' aria-current="page"') : undefined}>${name}</a>`,
  )}</nav><span class="node">${node} <span class="mono">${underlay.address}</span></span></header>
<main>${crumbs.length === 0 ? undefined : html`<div class="crumbs">${crumbs.map(crumbPart)}</div>`}`
}

function crumbPart({ text, href }: Crumb, index: number): Html {
  const separator = index === 0 ? '' : ' / '
  return href === undefined ? html`${separator}${text}` : html`${separator}<a href="${href}">${text}</a>`
}

/** Everything behind the page's own content. */
export function pageFoot(): Html {
  return html`</main><script>${trusted(script)}</script></body></html>
`
}

/** Filter box, live switch and whatever else belongs to one page. */
export function toolbar(extra: Html, { isFiltered = true } = {}): Html {
  const filter = html`<input type="search" id="filter" placeholder="Filter rows (press /)" aria-label="Filter rows">`
  return html`<div class="toolbar">${isFiltered ? filter : undefined}<label class="switch"><input type="checkbox" id="live"> Live</label>${extra}</div>`
}
