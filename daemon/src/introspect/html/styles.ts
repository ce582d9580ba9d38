/** The one stylesheet of all HTML pages, inlined so that a page is one document. */
export const styles = `
:root{color-scheme:light dark;--bg:light-dark(#f5f7fa,#11151b);--card:light-dark(#fff,#191f28);--line:light-dark(#e1e6ee,#2a323f);
--text:light-dark(#18202c,#dce3ee);--soft:light-dark(#5d6b7f,#8d9bb0);--link:light-dark(#0b62c4,#73b3ff);--accent:light-dark(#1b6fd6,#4c97f5);
--good:light-dark(#16834a,#4cc38a);--bad:light-dark(#c4302b,#ff7b72);--warn:light-dark(#9a6200,#e3b341);--hover:light-dark(#f0f4fa,#202835)}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
header{position:sticky;top:0;z-index:3;display:flex;gap:1.25rem;align-items:center;padding:.55rem 1.5rem;background:var(--card);border-bottom:1px solid var(--line)}
header .brand{display:flex;gap:.55rem;align-items:center;font-weight:650;color:var(--text);white-space:nowrap}
header nav{display:flex;gap:.15rem;flex-wrap:wrap}
header nav a{padding:.2rem .6rem;border-radius:6px;color:var(--soft)}
header nav a:hover{background:var(--hover);color:var(--text);text-decoration:none}
header nav a[aria-current]{background:var(--hover);color:var(--text);font-weight:600}
header .node{margin-left:auto;color:var(--soft);white-space:nowrap}
main{max-width:1500px;margin:0 auto;padding:1.25rem 1.5rem 3rem}
.crumbs{color:var(--soft);font-size:.86rem}.crumbs a{color:inherit}
h1{font-size:1.45rem;margin:.15rem 0 .1rem;letter-spacing:-.01em}
h2{font-size:1.02rem;margin:0 0 .7rem}h2 .soft{font-weight:400;font-size:.93em;margin-left:.4rem}
p.about{margin:0 0 1rem;color:var(--soft)}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em}
.toolbar{display:flex;gap:.75rem;align-items:center;flex-wrap:wrap;margin:0 0 .9rem}
.toolbar .space{flex:1}
input[type=text],input[type=search]{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:7px;padding:.32rem .6rem}
input[type=search]{min-width:16rem}
input:focus-visible{outline:2px solid var(--accent);outline-offset:-1px;border-color:transparent}
button,.button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:7px;padding:.32rem .75rem;cursor:pointer}
button:hover,.button:hover{background:var(--hover);text-decoration:none}
label.switch{display:inline-flex;gap:.4rem;align-items:center;color:var(--soft);cursor:pointer;user-select:none}
label.switch input{accent-color:var(--accent)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem 1.1rem;overflow:hidden}
.card+.card{margin-top:1rem}
.card.flush{padding:0}.card.slim{padding:.5rem 1.1rem}
.card.flush>h2{padding:.9rem 1.1rem 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:600;font-size:.8rem;color:var(--soft);padding:.5rem .75rem;border-bottom:1px solid var(--line);white-space:nowrap}
td{padding:.42rem .75rem;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{padding-left:1.1rem}th:last-child,td:last-child{padding-right:1.1rem}
tbody tr:last-child>td{border-bottom:0}
tr.row:hover>td{background:var(--hover)}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.tight{white-space:nowrap}
td .under{display:block;color:var(--soft);font-size:.86em}
td.opener{width:2rem;padding:.42rem 0 .42rem .8rem}
td.opener button{border:0;background:none;padding:0 .3rem;color:var(--soft);line-height:1.4}
td.opener button[aria-expanded=true]{transform:rotate(90deg)}
tr.more>td{background:light-dark(#fafbfd,#151a22);padding:.8rem 1.1rem 1rem 2.4rem}
.flash{animation:flash 1.2s ease-out}@keyframes flash{from{background:color-mix(in srgb,var(--accent) 28%,transparent)}}
.fields{display:grid;grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:.1rem 1.5rem;margin:0}
.fields>div{display:flex;gap:.75rem;min-width:0}
.fields dt{flex:0 0 11.5rem;color:var(--soft);overflow:hidden;text-overflow:ellipsis;overflow-wrap:normal}
.fields dd{margin:0;min-width:0;overflow-wrap:anywhere}
.fields .wide{grid-column:1/-1}.fields .wide dd{flex:1}
.fields .fields{grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));border-left:2px solid var(--line);padding-left:.8rem;width:100%}
.fields .fields dt{flex-basis:11rem}
.zero{display:none!important}body:has(#show-empty:checked) .zero{display:flex!important}
.badge{display:inline-block;padding:.02rem .5rem;border-radius:99px;font-size:.84em;white-space:nowrap;color:var(--soft);background:color-mix(in srgb,var(--soft) 14%,transparent)}
.badge.good{color:var(--good);background:color-mix(in srgb,var(--good) 14%,transparent)}
.badge.bad{color:var(--bad);background:color-mix(in srgb,var(--bad) 14%,transparent)}
.badge.warn{color:var(--warn);background:color-mix(in srgb,var(--warn) 16%,transparent)}
.soft{color:var(--soft)}.empty{color:var(--soft);padding:1.2rem 1.1rem}
.dot{display:inline-block;width:.62rem;height:.62rem;border-radius:50%;margin-right:.45rem;background:light-dark(oklch(.62 .15 var(--hue)),oklch(.72 .13 var(--hue)))}
form.arguments{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.6rem 1rem;align-items:end}
form.arguments button{justify-self:start}
form.arguments label{display:grid;gap:.15rem;color:var(--soft);font-size:.86rem}
details>summary{cursor:pointer;color:var(--soft)}details[open]>summary{margin-bottom:.7rem}
.pages{display:flex;gap:.6rem;align-items:center;padding:.7rem 1.1rem;border-top:1px solid var(--line);color:var(--soft)}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(12,minmax(0,1fr));margin-bottom:1rem}
.grid>.card{margin:0}.span4{grid-column:span 4}.span5{grid-column:span 5}.span7{grid-column:span 7}.span8{grid-column:span 8}.span12{grid-column:span 12}
@media(max-width:1000px){.grid>*{grid-column:1/-1!important}header{flex-wrap:wrap;gap:.5rem 1rem}header nav{order:3}}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:1rem;margin-bottom:1rem}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.75rem .95rem;color:inherit;display:block}
a.tile:hover{text-decoration:none;border-color:var(--accent)}
.tile .value{font-size:1.5rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums;letter-spacing:-.02em}
.tile .of{font-size:.86rem;color:var(--soft);font-weight:400;letter-spacing:0}
.tile .name{color:var(--soft);font-size:.86rem}
.meter{height:4px;border-radius:2px;background:var(--line);margin-top:.5rem;overflow:hidden}.meter i{display:block;height:100%;background:var(--accent);border-radius:2px}
.meter.warn i{background:var(--warn)}.meter.bad i{background:var(--bad)}
.hero{display:flex;gap:1rem 1.5rem;align-items:center;flex-wrap:wrap;margin-bottom:1.1rem}
.hero .toolbar{margin:0}.hero h1{font-size:1.7rem;margin:0}
.bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:.42rem .8rem;align-items:center}
.bars i{display:block;height:.6rem;border-radius:3px;background:var(--bad);opacity:.75;min-width:3px}
ul.problems{margin:.2rem 0 0;padding-left:1.1rem}
.modules{columns:4 15rem;column-gap:2rem}.modules section{break-inside:avoid;margin-bottom:.9rem}.modules h3{margin:0 0 .15rem;font-size:.86rem;color:var(--soft);font-weight:600}
.modules a{display:block;font-size:.92rem}
svg.topology{display:block;width:100%;height:auto;max-height:430px}
svg.topology text{fill:var(--text);font-size:13px}svg.topology .soft{fill:var(--soft);font-size:11.5px}
svg.topology .box{fill:var(--bg);stroke:var(--line)}svg.topology a:hover .box{stroke:var(--accent)}
svg.topology .self{fill:color-mix(in srgb,var(--accent) 10%,var(--card));stroke:var(--accent);stroke-width:1.5}
svg.topology .wire{fill:none;stroke:var(--line);stroke-width:2}svg.topology .tunnel{fill:none;stroke:var(--accent);stroke-width:2}
svg.topology .tunnel.down{stroke:var(--bad);stroke-dasharray:5 5}
svg.topology .vn{fill:light-dark(oklch(.62 .15 var(--hue)),oklch(.72 .13 var(--hue)))}
`
