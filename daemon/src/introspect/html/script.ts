/** The few lines of script of all HTML pages: filter, opening of rows, live refresh. Pages are readable without it. */
export const script = `
const main = document.querySelector('main')
const filter = document.querySelector('#filter')
const live = document.querySelector('#live')
const open = new Set()

function applyFilter() {
  const wanted = (filter?.value ?? '').toLowerCase()
  for (const row of main.querySelectorAll('tr.row')) {
    const more = row.nextElementSibling?.classList.contains('more') ? row.nextElementSibling : undefined
    const hit = wanted === '' || (row.textContent + (more?.textContent ?? '')).toLowerCase().includes(wanted)
    row.hidden = !hit
    if (more) more.hidden = !hit || !open.has(row.dataset.key)
    row.querySelector('.opener button')?.setAttribute('aria-expanded', String(open.has(row.dataset.key)))
  }
}

main.addEventListener('click', (event) => {
  const row = event.target.closest('.opener button')?.closest('tr')
  if (!row) return
  if (!open.delete(row.dataset.key)) open.add(row.dataset.key)
  applyFilter()
})
filter?.addEventListener('input', applyFilter)
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && filter && !event.target.matches('input')) {
    event.preventDefault()
    filter.focus()
  }
})

function texts(root) {
  const found = new Map()
  for (const row of root.querySelectorAll('tr.row[data-key]'))
    for (const cell of row.cells) found.set(row.dataset.key + '/' + cell.cellIndex, cell.textContent)
  return found
}

async function refresh() {
  const response = await fetch(location.href, { headers: { accept: 'text/html' } })
  const next = new DOMParser().parseFromString(await response.text(), 'text/html')
  const before = texts(document)
  for (const part of document.querySelectorAll('[data-live]')) {
    const fresh = next.querySelector('[data-live="' + part.dataset.live + '"]')
    if (fresh) part.innerHTML = fresh.innerHTML
  }
  for (const row of main.querySelectorAll('tr.row[data-key]'))
    for (const cell of row.cells) {
      const was = before.get(row.dataset.key + '/' + cell.cellIndex)
      if (was !== undefined && was !== cell.textContent) cell.classList.add('flash')
    }
  applyFilter()
}

if (live) {
  live.checked = sessionStorage.getItem('live') === 'yes'
  live.addEventListener('change', () => sessionStorage.setItem('live', live.checked ? 'yes' : 'no'))
  setInterval(() => { if (live.checked && !document.hidden) refresh().catch(() => {}) }, 2000)
}
`
