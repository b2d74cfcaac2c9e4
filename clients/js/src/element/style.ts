/**
 * The look of the element. Colours follow `color-scheme` of the page, so that a page that knows no dark mode gets
 * none; each is a custom property that a page may set. `contain: content` keeps a change inside from being laid
 * out outside.
 */
const CSS = `
:host {
  --_text: var(--progress-text, #1c2128);
  --_quiet: var(--progress-quiet, #57606a);
  --_line: var(--progress-line, #d8dee4);
  --_track: var(--progress-track, #e4e8ed);
  --_accent: var(--progress-accent, #2857c4);
  --_good: var(--progress-good, #1a7040);
  --_bad: var(--progress-bad, #b42318);
  --_odd: var(--progress-odd, #8a5300);
  --_bad-ground: var(--progress-bad-ground, #fdf2f1);
  --_radius: var(--progress-radius, 4px);
  display: block;
  contain: content;
  color: var(--_text);
  font: 14px/1.45 var(--progress-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere;
  padding: 3px;
}
@supports (color: light-dark(red, red)) {
  :host {
    --_text: var(--progress-text, light-dark(#1c2128, #e6e9ee));
    --_quiet: var(--progress-quiet, light-dark(#57606a, #9aa5b3));
    --_line: var(--progress-line, light-dark(#d8dee4, #2f3742));
    --_track: var(--progress-track, light-dark(#e4e8ed, #2b323d));
    --_accent: var(--progress-accent, light-dark(#2857c4, #7ea6ff));
    --_good: var(--progress-good, light-dark(#1a7040, #5ecb8c));
    --_bad: var(--progress-bad, light-dark(#b42318, #ff9188));
    --_odd: var(--progress-odd, light-dark(#8a5300, #eab858));
    --_bad-ground: var(--progress-bad-ground, light-dark(#fdf2f1, #2b1b1c));
  }
}
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; margin: 0; padding: 0; }
.label, .grow, .note, .said, .name span, .line span, .problem p, .problem li { unicode-bidi: plaintext; text-align: left; }
:host(:dir(rtl)) :is(.label, .grow, .said, .problem p, .problem li) { text-align: right; }
.row { display: flex; gap: 4px 12px; align-items: baseline; }
.grow { flex: 1; min-width: 0; }
.label { font-weight: 600; }
.percent { font-weight: 600; }
.quiet { color: var(--_quiet); font-size: 12.5px; }
.meta { flex-wrap: wrap; min-height: 1.45em; }
.meta .grow { flex: 1 1 12em; }
.state { font-weight: 600; color: var(--_text); }
.good { color: var(--_good); }
.bad { color: var(--_bad); }
.odd { color: var(--_odd); }
.track { height: 8px; margin: 5px 0 4px; border-radius: var(--_radius); background: var(--_track); overflow: hidden; }
.fill { height: 100%; background: var(--_accent); transform: scaleX(0); transform-origin: 0 0; }
:host(:dir(rtl)) .fill { transform-origin: 100% 0; }
.track.good .fill { background: var(--_good); }
.track.bad .fill { background: var(--_bad); }
.track.odd .fill { background: var(--_odd); }
.track.waiting { position: relative; }
.track.waiting::after {
  content: ""; position: absolute; inset: 0; width: 30%; border-radius: inherit;
  background: var(--_line); animation: slide 1.6s ease-in-out infinite alternate;
}
@keyframes slide { from { transform: translateX(0); } to { transform: translateX(233%); } }
.meta > :empty { display: none; }
.stages { list-style: none; margin-top: 10px; display: grid; grid-template-columns: minmax(6em, auto) minmax(3em, 1fr) auto; gap: 5px 14px; }
.stage { grid-column: 1 / -1; display: grid; grid-template-columns: subgrid; row-gap: 0; align-items: baseline; font-size: 13px; }
.stage .track { height: 5px; margin: 0; align-self: center; }
.stage .name { display: flex; gap: 7px; align-items: baseline; min-width: 0; }
.stage .note { text-align: right; }
:host(:dir(rtl)) .note { text-align: left; }
.stage .said { grid-column: 1 / -1; }
.mark { flex: none; width: 1em; text-align: center; color: var(--_quiet); }
.stage.running .name { font-weight: 600; }
.stage.running .mark { color: var(--_accent); }
.stage.completed .mark { color: var(--_good); }
.stage.completed .fill { opacity: .6; }
.stage.failed .mark { color: var(--_bad); }
.problem { margin-top: 10px; padding: 8px 12px; border: 1px solid var(--_bad); border-inline-start-width: 4px; border-radius: var(--_radius); background: var(--_bad-ground); }
.problem.mild { border-color: var(--_odd); background: none; }
.problem strong { color: var(--_bad); }
.problem.mild strong { color: var(--_odd); }
.problem ul { margin-top: 2px; padding-inline-start: 1.3em; }
code { font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.logs { margin-top: 10px; }
.lines { margin-top: 3px; padding: 6px 10px; border: 1px solid var(--_line); border-radius: var(--_radius); max-height: 16em; overflow-y: auto; font: 12px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.line { display: flex; gap: 10px; }
.line time, .line .level { flex: none; color: var(--_quiet); }
.line .level { width: 3.2em; }
.line.WARN .level { color: var(--_odd); }
.line.ERROR .level { color: var(--_bad); font-weight: 600; }
.foot { margin-top: 8px; align-items: center; flex-wrap: wrap; }
button { font: inherit; font-size: 13px; color: var(--_text); background: none; border: 1px solid var(--_line); border-radius: var(--_radius); padding: 3px 12px; min-height: 26px; cursor: pointer; }
button:hover:enabled { border-color: var(--_quiet); }
button:disabled { color: var(--_quiet); cursor: default; border-style: dashed; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 1px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) { .glides .fill { transition: transform 200ms linear; } }
@media (prefers-reduced-motion: reduce) { .track.waiting::after { animation: none; width: 100%; opacity: .6; } }
@media (forced-colors: active) {
  .track { border: 1px solid CanvasText; }
  .fill { background: Highlight !important; forced-color-adjust: none; }
}
@container (width < 26em) {
  .stages { grid-template-columns: 1fr; }
  .stage { grid-template-columns: 1fr auto; }
  .stage .track { grid-column: 1 / -1; grid-row: 2; margin-top: 1px; }
}
.face { container-type: inline-size; }
`;

let sheet: CSSStyleSheet | null = null;

/** Gives a shadow root the look: one sheet for all elements, which a Content-Security-Policy lets pass. */
export function adoptStyle(root: ShadowRoot): void {
  if (sheet === null) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  root.adoptedStyleSheets = [sheet];
}
