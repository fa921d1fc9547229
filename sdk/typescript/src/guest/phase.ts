/**
 * Whether a host runs the component.
 *
 * The author's modules are loaded while the component is built: what they compute then is kept in it, and nothing that
 * the host gives is there yet.
 */
let running = false;

export function isRunning(): boolean {
  return running;
}

export function begin(): void {
  running = true;
}
