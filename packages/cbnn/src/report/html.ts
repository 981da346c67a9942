/**
 * The report of a run: one HTML page that stands alone. No scripts, no fonts, no pictures from anywhere: figures are
 * inline SVG, pictures are data URIs, and the page's own policy forbids everything else.
 */
import type { ReportData } from './data.js';
import type { Section } from './elements.js';
import { markup, trusted } from './markup.js';
import { compactionSection, costSection } from './sections/compaction.js';
import { missingSection, reproductionSection } from './sections/reproduction.js';
import {
  confusionSection,
  mistakesSection,
  sensitivitySection,
  slicesSection,
  trainingSection,
} from './sections/results.js';
import { summarySection } from './sections/summary.js';
import { STYLE } from './style.js';

/** In the order of the page; a section without data is left out and named at the end. */
const SECTIONS: readonly ((data: ReportData) => Section | null)[] = [
  summarySection,
  trainingSection,
  slicesSection,
  sensitivitySection,
  compactionSection,
  costSection,
  confusionSection,
  mistakesSection,
  reproductionSection,
  missingSection,
];

const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/** The whole page as text. */
export function renderReport(data: ReportData): string {
  const sections = SECTIONS.map((section) => section(data)).filter((section) => section !== null);
  return renderPage(data.title, `${data.dataset} · ${data.created}`, sections);
}

/** A page of these sections under a heading. */
export function renderPage(title: string, about: string, sections: readonly Section[]): string {
  const links = sections.map(({ id, short }) => markup`<a href="#${id}">${short}</a>`);
  const bodies = sections.map(
    ({ id, title: heading, lead, body }) =>
      markup`<section id="${id}"><h2>${heading}</h2>${lead && markup`<p class="lead">${lead}</p>`}${body}</section>\n`,
  );
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title} · cbnn report</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<header><div><p class="eyebrow">cbnn report</p><h1>${title}</h1><p class="soft">${about}</p></div></header>
${links.length > 1 && markup`<nav aria-label="Sections"><div>${links}</div></nav>`}
<main>
${bodies}</main>
</body>
</html>
`.text;
}
