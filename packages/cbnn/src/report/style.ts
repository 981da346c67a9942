/** The style sheet of the HTML report: system fonts, light and dark by the reader's setting, no scripts. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --text: #1b1f24; --soft: #5b6470; --line: #e1e5ea;
  --accent: #0072b2; --accent-soft: #e6f1f8; --good: #00795a; --warn: #8a4b00; --warn-soft: #fdf1e0;
  --shadow: 0 1px 2px rgba(20, 30, 45, .06), 0 4px 16px rgba(20, 30, 45, .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151a; --card: #1b2027; --text: #e8ebef; --soft: #a3adba; --line: #2c343e;
    --accent: #6bb8e6; --accent-soft: #17303f; --good: #4fc9a4; --warn: #f0b35e; --warn-soft: #33270f;
    --shadow: 0 1px 2px rgba(0, 0, 0, .4);
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main, header > div, nav > div { max-width: 1240px; margin: 0 auto; padding: 0 28px; }
header { background: var(--card); padding: 40px 0 14px; }
header p { margin: 0; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; letter-spacing: -.01em; margin: 0 0 4px; }
h3 { font-size: 1rem; margin: 0; }
.eyebrow { color: var(--accent); font-weight: 650; font-size: .8rem; letter-spacing: .07em; text-transform: uppercase; margin: 0 0 6px; }
.soft, .lead { color: var(--soft); }
.lead { margin: 0 0 18px; max-width: 74ch; }
nav { position: sticky; top: 0; z-index: 1; background: var(--card); border-bottom: 1px solid var(--line); }
nav > div { display: flex; gap: 20px; overflow-x: auto; scrollbar-width: none; }
nav a { color: var(--soft); text-decoration: none; font-size: .88rem; padding: 12px 0; white-space: nowrap; border-bottom: 2px solid transparent; }
nav a:hover, nav a:focus-visible { color: var(--accent); border-color: var(--accent); }
section { padding-top: 40px; scroll-margin-top: 36px; }
section:last-of-type { padding-bottom: 56px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; box-shadow: var(--shadow); }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 16px; margin: 0; }
.number { padding: 18px 20px; margin: 0; }
.number dt { color: var(--soft); font-size: .86rem; }
.number dd { margin: 0; }
.number .big { font-size: 1.85rem; font-weight: 680; letter-spacing: -.025em; line-height: 1.25; font-variant-numeric: tabular-nums; white-space: nowrap; }
.number .change { color: var(--soft); font-size: .92rem; }
.number .change b { color: var(--text); }
.caveat { background: var(--warn-soft); color: var(--warn); border-radius: 10px; padding: 11px 16px; margin: 0; font-size: .94rem; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr)); gap: 20px; align-items: start; }
section > * + .card, section > * + .grid, section > * + .caveat { margin-top: 20px; }
section > .lead + * { margin-top: 0; }
section > h2 + :not(.lead) { margin-top: 14px; }
figure { margin: 0; overflow: hidden; }
figure.card { background: #ffffff; }
figure .canvas { overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; min-width: 480px; max-width: 860px; margin: 0 auto; }
figure svg.natural { width: auto; max-width: 100%; }
figure svg.fixed { width: auto; max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 14px; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; font-size: .82rem; white-space: normal; vertical-align: bottom; }
tbody tr:last-child > * { border-bottom: 0; }
tfoot > tr > * { border-top: 1px solid var(--line); border-bottom: 0; font-weight: 650; }
.right { text-align: right; }
.wrap { white-space: normal; min-width: 110px; overflow-wrap: break-word; }
.wrap code { display: block; min-width: 200px; }
tr.chosen > * { background: var(--accent-soft); }
.tag { display: inline-block; border-radius: 99px; padding: 1px 9px; font-size: .8rem; font-weight: 600; border: 1px solid currentColor; }
.tag.good { color: var(--good); } .tag.warn { color: var(--warn); } .tag.accent { color: var(--accent); }
details > summary { cursor: pointer; padding: 13px 18px; font-weight: 600; }
details[open] > summary { border-bottom: 1px solid var(--line); }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); gap: 14px; padding: 0; margin: 0; list-style: none; }
.mistakes li { padding: 10px; font-size: .86rem; line-height: 1.35; overflow-wrap: anywhere; }
.mistakes img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 7px; margin-bottom: 8px; image-rendering: pixelated; }
pre { margin: 0; padding: 16px 18px; white-space: pre-wrap; overflow-wrap: anywhere; font: .88rem/1.7 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
@media (max-width: 560px) {
  main, header > div, nav > div { padding: 0 16px; }
  header { padding-top: 28px; }
  section { padding-top: 30px; }
  .numbers { grid-template-columns: 1fr 1fr; gap: 10px; }
  .number { padding: 13px 14px; }
  .number .big { font-size: 1.3rem; }
  th, td { padding: 7px 9px; }
  .wrap { min-width: 80px; }
}
@media print {
  nav { display: none; }
  body { background: #ffffff; }
  .card { box-shadow: none; break-inside: avoid; }
}
`;
