// Boxes over a clip: what is covered and what stays visible. Everything is also there as a list with buttons and fields, which the
// server renews after each change (#blur-part); this script draws the boxes of its data (#blur-data) and sends what is dragged.
import "./blur.css";

type Key = [number, number, number, number, number];
type Region = { id: number; name: string; said: string; covered: boolean; track: Key[] };
type Data = { zero: number; hold: number; regions: Region[] };
type Box = { x: number; y: number; width: number; height: number };

const SLIP = 4; // pixels that a tap may wander

function where(track: Key[], at: number, hold: number): Box | undefined {
  const first = track[0];
  const last = track[track.length - 1];
  if (!first || !last || at < first[0] - hold || at > last[0] + hold) return undefined;
  const after = track.findIndex((key) => key[0] > at);
  const b = after < 0 ? last : track[after]!;
  const a = after < 0 ? last : after === 0 ? first : track[after - 1]!;
  const share = b === a || b[0] === a[0] ? 0 : Math.min(Math.max((at - a[0]) / (b[0] - a[0]), 0), 1);
  const mix = (n: 1 | 2 | 3 | 4): number => a[n] + (b[n] - a[n]) * share;
  return { x: mix(1), y: mix(2), width: mix(3), height: mix(4) };
}

class Editor {
  private data: Data = { zero: 0, hold: 0.5, regions: [] };
  private readonly over = document.createElement("div");
  private readonly boxes = new Map<number, HTMLButtonElement>();
  private chosen = 0;
  private held: number | undefined; // the box that a finger holds is not drawn from the data
  private shown = 0;

  constructor(
    private readonly film: HTMLElement,
    private readonly video: HTMLVideoElement,
    private readonly adder: HTMLButtonElement | null,
  ) {
    this.over.className = "blur-over";
    film.append(this.over);
    this.read();
    new ResizeObserver(() => this.fit()).observe(video);
    video.addEventListener("loadedmetadata", () => this.fit());
    for (const name of ["seeked", "timeupdate", "loadeddata"]) video.addEventListener(name, () => this.show(video.currentTime));
    const frame = (_now: number, facts: { mediaTime: number }): void => {
      this.show(facts.mediaTime);
      video.requestVideoFrameCallback(frame);
    };
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(frame);
    document.addEventListener("htmx:after:swap", () => this.read());
    document.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-blur-show]") : null;
      if (button) this.go(Number(button.dataset["blurShow"]));
    });
    this.draws();
    this.fit();
  }

  private read(): void {
    const text = document.getElementById("blur-data")?.textContent;
    if (text) this.data = JSON.parse(text) as Data;
    for (const [id, box] of this.boxes) if (!this.data.regions.some((one) => one.id === id)) (box.remove(), this.boxes.delete(id));
    for (const one of document.querySelectorAll<HTMLElement>("[data-blur-show]")) one.hidden = false;
    // Fields that ask for a moment begin with the one that is shown.
    this.mark();
    this.show(this.shown);
  }

  private fit(): void {
    const { video } = this;
    if (!video.videoWidth) return;
    const scale = Math.min(video.clientWidth / video.videoWidth, video.clientHeight / video.videoHeight);
    const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
    const place = video.getBoundingClientRect();
    const frame = this.film.getBoundingClientRect();
    Object.assign(this.over.style, {
      left: `${place.left - frame.left + (video.clientWidth - width) / 2}px`,
      top: `${place.top - frame.top + (video.clientHeight - height) / 2}px`,
      width: `${width}px`,
      height: `${height}px`,
    });
  }

  private show(time: number): void {
    this.shown = time;
    for (const region of this.data.regions) {
      const box = this.held === region.id ? undefined : where(region.track, time + this.data.zero, this.data.hold);
      const node = this.boxes.get(region.id);
      if (this.held === region.id) continue;
      if (!box) {
        if (node) node.hidden = true;
        continue;
      }
      this.put(node ?? this.make(region.id), box);
      this.dress(region);
    }
  }

  private put(node: HTMLElement, box: Box): void {
    node.hidden = false;
    Object.assign(node.style, { left: `${box.x * 100}%`, top: `${box.y * 100}%`, width: `${box.width * 100}%`, height: `${box.height * 100}%` });
    node.querySelector("span")?.classList.toggle("under", box.y < 0.12);
  }

  private dress(region: Region): void {
    const node = this.boxes.get(region.id);
    if (!node) return;
    node.classList.toggle("open", !region.covered);
    node.setAttribute("aria-pressed", String(region.covered));
    const words = `${region.name}: ${region.said}`;
    if (node.getAttribute("aria-label") !== words) {
      node.setAttribute("aria-label", words);
      node.querySelector("span")!.textContent = region.covered ? region.name : words;
    }
  }

  private make(id: number): HTMLButtonElement {
    const node = document.createElement("button");
    node.type = "button";
    node.className = "blur-box";
    node.append(document.createElement("span"), document.createElement("i"));
    node.addEventListener("pointerdown", (event) => this.drag(event, id, node));
    node.addEventListener("click", (event) => {
      if (event.detail === 0) this.toggle(id); // a key; a finger's tap ends in drag()
    });
    node.addEventListener("keydown", (event) => this.key(event, id, node));
    node.addEventListener("focus", () => this.choose(id));
    this.boxes.set(id, node);
    this.over.append(node);
    return node;
  }

  private drag(event: PointerEvent, id: number, node: HTMLElement): void {
    event.preventDefault();
    this.video.pause();
    node.focus();
    node.setPointerCapture(event.pointerId);
    const resize = event.target instanceof HTMLElement && event.target.tagName === "I";
    const begin = this.box(node);
    const frame = this.over.getBoundingClientRect();
    let moved = false;
    const move = (to: PointerEvent): void => {
      const [dx, dy] = [to.clientX - event.clientX, to.clientY - event.clientY];
      if (!moved && Math.hypot(dx, dy) < SLIP) return;
      moved = true;
      this.held = id;
      this.put(node, this.inside(begin, dx / frame.width, dy / frame.height, resize));
    };
    const end = (): void => {
      node.removeEventListener("pointermove", move);
      this.held = undefined;
      if (moved) this.send(id, this.box(node));
      else if (!resize) this.toggle(id);
    };
    node.addEventListener("pointermove", move);
    node.addEventListener("pointerup", end, { once: true });
    node.addEventListener("pointercancel", () => (node.removeEventListener("pointermove", move), (this.held = undefined)), { once: true });
  }

  private inside(box: Box, dx: number, dy: number, resize: boolean): Box {
    if (resize) return { ...box, width: Math.min(Math.max(box.width + dx, 0.01), 1 - box.x), height: Math.min(Math.max(box.height + dy, 0.01), 1 - box.y) };
    return { ...box, x: Math.min(Math.max(box.x + dx, 0), 1 - box.width), y: Math.min(Math.max(box.y + dy, 0), 1 - box.height) };
  }

  private box(node: HTMLElement): Box {
    const [x, y, width, height] = [node.style.left, node.style.top, node.style.width, node.style.height].map((text) => parseFloat(text) / 100);
    return { x: x ?? 0, y: y ?? 0, width: width ?? 0, height: height ?? 0 };
  }

  private key(event: KeyboardEvent, id: number, node: HTMLElement): void {
    const steps: Record<string, [number, number]> = { ArrowLeft: [-0.01, 0], ArrowRight: [0.01, 0], ArrowUp: [0, -0.01], ArrowDown: [0, 0.01] };
    const step = steps[event.key];
    if (event.key === " " || event.key === "Enter") event.stopPropagation(); // the player would play
    if (event.key === "Delete") this.row(id)?.querySelector<HTMLButtonElement>("button[value=remove]")?.click();
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    this.video.pause();
    const to = this.inside(this.box(node), step[0], step[1], event.shiftKey);
    this.held = id;
    this.put(node, to);
    clearTimeout(this.soon);
    this.soon = window.setTimeout(() => {
      this.held = undefined;
      this.send(id, this.box(node));
    }, 700);
  }

  private soon = 0;

  private row(id: number): HTMLElement | null {
    return document.querySelector(`[data-region="${id}"]`);
  }

  private toggle(id: number): void {
    const found = this.row(id)?.querySelector<HTMLButtonElement>("button[value=cover], button[value=clear]");
    found?.click();
  }

  private send(id: number, box: Box): void {
    const form = this.row(id)?.querySelector<HTMLButtonElement>("button[value=move]")?.form;
    if (form) this.fill(form, box, "move");
  }

  private fill(form: HTMLFormElement, box: Box, act: string): void {
    const values = { at: this.shown, x: box.x * 100, y: box.y * 100, width: box.width * 100, height: box.height * 100 };
    for (const [name, value] of Object.entries(values)) {
      const field = form.elements.namedItem(name);
      if (field instanceof HTMLInputElement) field.value = value.toFixed(name === "at" ? 3 : 2);
    }
    form.requestSubmit(form.querySelector<HTMLButtonElement>(`button[value=${act}]`));
  }

  private choose(id: number): void {
    this.chosen = id;
    this.mark();
  }

  private mark(): void {
    for (const [id, node] of this.boxes) node.classList.toggle("chosen", id === this.chosen);
    for (const row of document.querySelectorAll<HTMLElement>("[data-region]")) row.classList.toggle("chosen", Number(row.dataset["region"]) === this.chosen);
  }

  private go(id: number): void {
    const region = this.data.regions.find((one) => one.id === id);
    const first = region?.track[0];
    const last = region?.track[region.track.length - 1];
    if (!first || !last) return;
    this.video.pause();
    this.video.currentTime = Math.max((first[0] + last[0]) / 2 - this.data.zero, 0);
    this.choose(id);
    this.film.scrollIntoView({ block: "nearest" });
  }

  private draws(): void {
    const { adder, over } = this;
    const hint = document.querySelector<HTMLElement>("[data-blur-hint]");
    if (!adder) return;
    adder.hidden = false;
    const set = (on: boolean): void => {
      over.classList.toggle("drawing", on);
      adder.setAttribute("aria-pressed", String(on));
      if (hint) hint.hidden = !on;
      if (on) this.video.pause();
    };
    adder.addEventListener("click", () => set(!over.classList.contains("drawing")));
    over.addEventListener("pointerdown", (event) => {
      if (event.target !== over || !over.classList.contains("drawing")) return;
      event.preventDefault();
      over.setPointerCapture(event.pointerId);
      const frame = over.getBoundingClientRect();
      const at = (one: PointerEvent): [number, number] => [
        Math.min(Math.max((one.clientX - frame.left) / frame.width, 0), 1),
        Math.min(Math.max((one.clientY - frame.top) / frame.height, 0), 1),
      ];
      const [x0, y0] = at(event);
      const node = document.createElement("div");
      node.className = "blur-box";
      over.append(node);
      let box: Box = { x: x0, y: y0, width: 0, height: 0 };
      const move = (to: PointerEvent): void => {
        const [x, y] = at(to);
        box = { x: Math.min(x, x0), y: Math.min(y, y0), width: Math.abs(x - x0), height: Math.abs(y - y0) };
        this.put(node, box);
      };
      over.addEventListener("pointermove", move);
      const end = (): void => {
        over.removeEventListener("pointermove", move);
        node.remove();
        set(false);
        const form = document.getElementById("blur-add");
        if (box.width > 0.005 && box.height > 0.005 && form instanceof HTMLFormElement) this.fill(form, box, "add");
      };
      over.addEventListener("pointerup", end, { once: true });
    });
  }
}

function begin(): void {
  const film = document.querySelector<HTMLElement>("[data-blur]:not([data-blur-ready])");
  const video = film?.querySelector("video");
  if (!film || !video) return;
  film.dataset["blurReady"] = "";
  new Editor(film, video, document.querySelector<HTMLButtonElement>("[data-blur-add]"));
}

begin();
document.addEventListener("htmx:after:swap", begin);
