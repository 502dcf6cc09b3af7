// <fw-player>: a clip with exact times, frame steps, speed and, where asked for, trim handles on a filmstrip.
//
//   <fw-player fps="15" begin="1795447125" icons="/static/kit/web/icons.svg" [trim start="2" end="9.5"] [clips='["/a","/b"]']>
//     <script type="application/json">{"play": "Play", "pause": "Pause", ...}</script>
//     <video src="..." preload="metadata" playsinline muted></video>
//     <img class="strip" src="..." alt="">
//   </fw-player>
//
// begin: Unix seconds of the first picture, so that the time under the pictures is the time of day. With trim, the chosen
// seconds go to the fields named start and end of the form around, and playing stays between the handles.
import "./player.css";

type Label = "play" | "pause" | "back" | "forward" | "speed" | "sound" | "full" | "from" | "to" | "position" | "length" | "keys";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];

class FairPlayer extends HTMLElement {
  private video!: HTMLVideoElement;
  private labels: Partial<Record<Label, string>> = {};
  private start = 0;
  private end = 0;
  private bar!: HTMLElement;
  private head!: HTMLElement;
  private clock!: HTMLElement;
  private playButton!: HTMLButtonElement;
  private handles: HTMLElement[] = [];

  connectedCallback(): void {
    const video = this.querySelector("video");
    if (!video || this.bar) return;
    this.video = video;
    this.labels = JSON.parse(this.querySelector("script[type='application/json']")?.textContent ?? "{}") as typeof this.labels;
    video.controls = false;
    video.addEventListener("click", () => this.toggle());
    this.build();
    const ready = (): void => {
      this.start = Number(this.getAttribute("start") ?? 0);
      this.end = Math.min(Number(this.getAttribute("end") ?? video.duration) || video.duration, video.duration);
      if (this.trims) video.currentTime = this.start;
      this.dataset["ready"] = "";
      this.show();
    };
    if (video.readyState >= 1) ready();
    else video.addEventListener("loadedmetadata", ready, { once: true });
    for (const name of ["timeupdate", "seeked", "play", "pause", "ended", "ratechange", "volumechange"]) video.addEventListener(name, () => this.show());
    this.addEventListener("keydown", (event) => this.key(event));
    if (!this.hasAttribute("tabindex")) this.tabIndex = 0;
    this.setAttribute("role", "group");
    if (!this.hasAttribute("aria-label")) this.setAttribute("aria-label", this.labels.keys ?? "");
  }

  private get trims(): boolean {
    return this.hasAttribute("trim");
  }

  private get fps(): number {
    return Number(this.getAttribute("fps")) || 25;
  }

  private get duration(): number {
    return Number.isFinite(this.video.duration) ? this.video.duration : 0;
  }

  private button(name: string, label: Label, act: () => void): HTMLButtonElement {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "icon-only";
    made.setAttribute("aria-label", this.labels[label] ?? label);
    made.title = this.labels[label] ?? label;
    made.innerHTML = `<svg class="icon" aria-hidden="true"><use href="${this.getAttribute("icons") ?? ""}#${name}"></use></svg>`;
    made.addEventListener("click", act);
    return made;
  }

  private build(): void {
    const strip = this.querySelector<HTMLImageElement>("img.strip");
    this.bar = document.createElement("div");
    this.bar.className = "player-bar";
    if (strip) this.bar.append(strip);
    if (this.trims) {
      // Between two handles that may meet it, the position is a mark; a tap on the strip or the keys move it.
      this.head = document.createElement("span");
      this.head.className = "player-head";
    } else this.head = this.slider("player-head", "position", () => this.video.currentTime, (to) => this.seek(to));
    if (this.trims) {
      this.handles = [
        this.slider("player-handle from", "from", () => this.start, (to) => this.trim(to, undefined)),
        this.slider("player-handle to", "to", () => this.end, (to) => this.trim(undefined, to)),
      ];
      const shade = document.createElement("div");
      shade.className = "player-kept";
      this.bar.append(shade, ...this.handles);
    }
    this.bar.append(this.head);
    this.bar.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Element && event.target.closest("[role=slider]")) return;
      this.seek(this.at(event));
    });
    this.playButton = this.button("play", "play", () => this.toggle());
    const speed = document.createElement("select");
    speed.setAttribute("aria-label", this.labels.speed ?? "speed");
    for (const rate of SPEEDS) speed.add(new Option(`${rate}×`, String(rate), rate === 1, rate === 1));
    speed.addEventListener("change", () => (this.video.playbackRate = Number(speed.value)));
    this.clock = document.createElement("output");
    this.clock.className = "player-clock";
    const controls = document.createElement("div");
    controls.className = "player-controls";
    controls.append(
      this.playButton,
      this.button("step-back", "back", () => this.step(-1)),
      this.button("step-forward", "forward", () => this.step(1)),
      this.clock,
      speed,
    );
    if (this.hasAttribute("sound")) controls.append(this.button("volume-2", "sound", () => (this.video.muted = !this.video.muted)));
    controls.append(this.button("expand", "full", () => void this.video.requestFullscreen()));
    this.video.after(this.bar, controls);
    this.show(); // sliders have a value from the start, also while the video is still on its way
  }

  private slider(kind: string, label: Label, get: () => number, set: (to: number) => void): HTMLElement {
    const made = document.createElement("span");
    made.className = kind;
    made.tabIndex = 0;
    made.setAttribute("role", "slider");
    made.setAttribute("aria-label", this.labels[label] ?? label);
    made.addEventListener("keydown", (event) => {
      const size = event.shiftKey ? 1 : 1 / this.fps;
      const moves: Record<string, number> = { ArrowLeft: get() - size, ArrowDown: get() - size, ArrowRight: get() + size, ArrowUp: get() + size, Home: 0, End: this.duration, PageDown: get() - 10, PageUp: get() + 10 };
      const to = moves[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      set(to);
    });
    made.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      made.focus();
      made.setPointerCapture(event.pointerId);
      const move = (moved: PointerEvent): void => set(this.at(moved));
      made.addEventListener("pointermove", move);
      made.addEventListener("pointerup", () => made.removeEventListener("pointermove", move), { once: true });
    });
    return made;
  }

  private at(event: PointerEvent): number {
    const box = this.bar.getBoundingClientRect();
    return (Math.min(Math.max(event.clientX - box.left, 0), box.width) / box.width) * this.duration;
  }

  seek(to: number): void {
    this.video.currentTime = Math.min(Math.max(to, 0), Math.max(this.duration - 0.01, 0));
    this.show();
  }

  private step(frames: number): void {
    this.video.pause();
    // To the middle of a picture: its edge may show the one before.
    const number = Math.floor(this.video.currentTime * this.fps + 1e-3) + frames;
    this.seek((number + 0.5) / this.fps);
  }

  private toggle(): void {
    if (!this.video.paused) return this.video.pause();
    if (this.trims && (this.video.currentTime < this.start || this.video.currentTime >= this.end - 0.05)) this.video.currentTime = this.start;
    void this.video.play();
  }

  private trim(start: number | undefined, end: number | undefined): void {
    const least = Math.min(1, this.duration);
    if (start !== undefined) this.start = Math.min(Math.max(start, 0), this.end - least);
    if (end !== undefined) this.end = Math.max(Math.min(end, this.duration), this.start + least);
    this.seek(start !== undefined ? this.start : this.end - 0.01);
    const form = this.closest("form");
    for (const [name, value] of [["start", this.start], ["end", this.end]] as const) {
      const field = form?.elements.namedItem(`${this.getAttribute("prefix") ?? ""}${name}`);
      if (field instanceof HTMLInputElement) {
        field.value = value.toFixed(3);
        field.dispatchEvent(new Event("change", { bubbles: true }));
      }
    }
  }

  private key(event: KeyboardEvent): void {
    if (event.target instanceof HTMLSelectElement || event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts: Record<string, () => void> = {
      " ": () => this.toggle(),
      k: () => this.toggle(),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      ArrowLeft: () => this.seek(this.video.currentTime - 5),
      ArrowRight: () => this.seek(this.video.currentTime + 5),
      j: () => this.seek(this.video.currentTime - 10),
      l: () => this.seek(this.video.currentTime + 10),
    };
    if (this.trims) {
      acts["["] = () => this.trim(this.video.currentTime, undefined);
      acts["]"] = () => this.trim(undefined, this.video.currentTime);
    }
    const act = acts[event.key];
    if (!act || (event.key === " " && event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    act();
  }

  private text(seconds: number): string {
    const begin = Number(this.getAttribute("begin"));
    if (begin) return new Date((begin + seconds) * 1000).toLocaleTimeString(document.documentElement.lang || undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  }

  private show(): void {
    const now = this.video.currentTime;
    if (this.trims && !this.video.paused && now >= this.end) {
      this.video.pause();
      this.video.currentTime = this.end - 0.01;
    }
    const share = (at: number): string => `${this.duration ? (100 * at) / this.duration : 0}%`;
    const [from, to] = this.handles;
    for (const [node, at] of [[this.head, now], [from, this.start], [to, this.end]] as const) {
      if (!node) continue;
      node.style.left = share(at);
      if (node.getAttribute("role") !== "slider") continue;
      node.setAttribute("aria-valuemin", "0");
      node.setAttribute("aria-valuemax", this.duration.toFixed(2));
      node.setAttribute("aria-valuenow", at.toFixed(2));
      node.setAttribute("aria-valuetext", this.text(at));
    }
    // Where it stands, for a form that writes something down about this moment.
    const moment = this.closest("form")?.elements.namedItem(`${this.getAttribute("prefix") ?? ""}at`);
    if (moment instanceof HTMLInputElement) moment.value = now.toFixed(3);
    const kept = this.bar.querySelector<HTMLElement>(".player-kept");
    if (kept) {
      kept.style.left = share(this.start);
      kept.style.width = share(this.end - this.start);
    }
    this.clock.textContent = this.trims ? `${this.text(now)}  ·  ${this.text(this.start)}–${this.text(this.end)}` : `${this.text(now)}  /  ${this.text(this.duration)}`;
    const icon = this.video.paused ? "play" : "pause";
    this.playButton.querySelector("use")?.setAttribute("href", `${this.getAttribute("icons") ?? ""}#${icon}`);
    this.playButton.setAttribute("aria-label", this.labels[icon] ?? icon);
  }
}

customElements.define("fw-player", FairPlayer);

// <button data-seek="12.5" data-player="clip-01.mp4"> moves the player inside the element with data-plays="clip-01.mp4".
document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-seek]") : null;
  if (!button) return;
  const { seek, player } = button.dataset;
  const found = document.querySelector(`[data-plays="${CSS.escape(player ?? "")}"] fw-player`);
  if (!(found instanceof FairPlayer)) return;
  found.seek(Number(seek));
  found.scrollIntoView({ block: "nearest" });
  found.focus();
});
