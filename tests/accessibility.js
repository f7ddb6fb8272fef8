// Controls without a name, and text with a contrast below 4.5 (WCAG 2.2, 1.4.3).
() => {
  const visible = (e) => e.checkVisibility() && e.getClientRects().length;
  const name = (e) => e.getAttribute('aria-label') || e.textContent.trim() || [...(e.labels ?? [])].map((l) => l.textContent).join('').trim();
  const unnamed = [...document.querySelectorAll('button, input, select, textarea, [role=listbox], [role=img]')].filter((e) => visible(e) && !name(e)).map((e) => e.outerHTML.slice(0, 80));
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255]; };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !visible(e) || e.closest('script, style, option, #toast, :disabled, .hz, .histogram span')) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push([e.outerHTML.slice(0, 80), (a + 0.05) / (b + 0.05)]);
  }
  return {unnamed, faint};
}
