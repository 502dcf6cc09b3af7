// A camera's timeline: choosing a moment on the band, playing from it and on into the next recording, pictures one by one.
//
// The page works without this: every moment is a link. `#tl` holds the zone that the page counts its days in and the address
// that says what to play; `#tl-playing` what plays first.
import "./timeline.css";

interface Playing {
  recording: number;
  begin: number;
  seconds: number;
  offset: number;
  waited: boolean;
  sources: string[];
  strip: string;
  download: string;
  delete: string;
  next: string;
}

const root = document.getElementById("tl");
const read = <T>(id: string): T | undefined => JSON.parse(document.getElementById(id)?.textContent ?? "null") ?? undefined;
const words = read<Record<string, string>>("tl-words") ?? {};

// Days are counted in the viewer's zone: said once by a cookie, and the page is drawn anew.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (root && zone && root.dataset["daysIn"] !== zone && !document.cookie.includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=strict${location.protocol === "https:" ? "; secure" : ""}`;
  location.reload();
}

class Stage {
  private readonly player = document.querySelector("fw-player");
  private readonly video = this.player?.querySelector("video") ?? null;
  private now = read<Playing>("tl-playing");
  private tried = 0;
  private readonly band = document.querySelector<HTMLElement>(".tl-band");
  private readonly begin = Number(this.band?.dataset["begin"]);
  private readonly end = Number(this.band?.dataset["end"]);
  private readonly head = document.querySelector<HTMLElement>(".tl-head");
  private chosen = this.now ? this.now.begin + this.now.offset : this.begin;

  constructor() {
    this.video?.addEventListener("timeupdate", () => this.move());
    this.video?.addEventListener("ended", () => this.now && void this.ask(this.now.next, true));
    this.video?.addEventListener("error", () => this.other());
    for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-at]")) {
      link.addEventListener("click", (event) => {
        if (!this.video || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        void this.from(Number(link.dataset["at"]));
        this.player?.scrollIntoView({ block: "nearest" });
      });
    }
    if (this.band) this.dress(this.band);
    this.move();
  }

  private dress(band: HTMLElement): void {
    // The links are for who has no script; a slider holds nothing else that can be chosen.
    for (const link of band.querySelectorAll("a")) link.replaceWith(...link.childNodes);
    band.tabIndex = 0;
    band.setAttribute("role", "slider");
    band.setAttribute("aria-label", band.dataset["label"] ?? "");
    band.setAttribute("aria-valuemin", String(this.begin));
    band.setAttribute("aria-valuemax", String(this.end));
    const hover = band.querySelector<HTMLElement>(".tl-hover");
    const at = (event: PointerEvent | MouseEvent): number => {
      const box = band.getBoundingClientRect();
      return this.begin + (Math.min(Math.max(event.clientX - box.left, 0), box.width) / box.width) * (this.end - this.begin);
    };
    band.addEventListener("click", (event) => {
      if (!this.video || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      void this.from(at(event));
    });
    band.addEventListener("pointermove", (event) => {
      if (!hover || event.pointerType === "touch") return;
      hover.hidden = false;
      hover.textContent = this.text(at(event));
      hover.style.left = `${this.share(at(event))}%`;
    });
    band.addEventListener("pointerleave", () => hover && (hover.hidden = true));
    const step = (this.end - this.begin) / 288;
    band.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 12 : 1;
      const moves: Record<string, number> = {
        ArrowLeft: this.chosen - step * far,
        ArrowDown: this.chosen - step * far,
        ArrowRight: this.chosen + step * far,
        ArrowUp: this.chosen + step * far,
        PageDown: this.chosen - step * 12,
        PageUp: this.chosen + step * 12,
        Home: this.begin,
        End: this.end - 1,
      };
      const to = moves[event.key];
      if (event.key === "Enter" || event.key === " ") void this.from(this.chosen);
      else if (to === undefined) return;
      else this.choose(Math.min(Math.max(to, this.begin), this.end - 1));
      event.preventDefault();
    });
  }

  private share(moment: number): number {
    return (100 * (moment - this.begin)) / (this.end - this.begin);
  }

  private text(moment: number): string {
    return new Date(moment * 1000).toLocaleTimeString(document.documentElement.lang || undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  }

  private choose(moment: number): void {
    this.chosen = moment;
    const inside = moment >= this.begin && moment <= this.end;
    if (this.head) {
      this.head.hidden = !inside;
      this.head.style.left = `${this.share(moment)}%`;
    }
    this.band?.setAttribute("aria-valuenow", String(Math.round(Math.min(Math.max(moment, this.begin), this.end))));
    this.band?.setAttribute("aria-valuetext", this.text(moment));
    for (const line of document.querySelectorAll<HTMLElement>(".tl-list > li")) {
      const link = line.querySelector<HTMLElement>("a.cover");
      const from = Number(link?.dataset["at"] ?? NaN);
      const to = Number(line.dataset["end"] ?? NaN);
      if (moment >= from && moment < to) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
  }

  private move(): void {
    if (!this.now || !this.video) return this.choose(this.chosen);
    this.choose(this.now.begin + (this.video.readyState ? this.video.currentTime : this.now.offset));
  }

  private from(moment: number): Promise<void> {
    this.choose(moment);
    return this.ask(`${root?.dataset["play"] ?? ""}?t=${Math.floor(moment)}`, false);
  }

  private async ask(address: string, onward: boolean): Promise<void> {
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const { found } = (await answer.json()) as { found: Playing | null };
      if (!found) return this.tell(words["over"] ?? "");
      this.tell(found.waited && !onward ? (words["waited"] ?? "") : "");
      this.play(found);
    } catch {
      this.tell(words["lost"] ?? "");
    }
  }

  private play(found: Playing): void {
    if (!this.video || !this.player) return;
    const same = this.now?.recording === found.recording && this.tried === 0 && this.video.readyState >= 1;
    this.now = found;
    if (same) this.video.currentTime = found.offset;
    else this.source(0);
    this.player.setAttribute("begin", String(found.begin));
    const strip = this.player.querySelector<HTMLImageElement>("img.strip");
    if (strip && !same) strip.src = found.strip;
    for (const [id, href] of [["tl-download", found.download], ["tl-delete", found.delete]] as const) {
      document.getElementById(id)?.setAttribute("href", href);
    }
    void this.video.play().catch(() => undefined);
    this.choose(found.begin + found.offset);
  }

  private source(number: number): void {
    const address = this.now?.sources[number];
    if (!this.video || !this.now || address === undefined) return this.tell(words["failed"] ?? "");
    this.tried = number;
    this.video.src = `${address}#t=${this.now.offset}`;
  }

  // A browser that cannot play the bytes as they were recorded gets them converted.
  private other(): void {
    const playing = this.video !== null && !this.video.paused;
    this.source(this.tried + 1);
    if (playing) void this.video?.play().catch(() => undefined);
  }

  private tell(text: string): void {
    const told = document.getElementById("tl-told");
    if (!told) return;
    told.hidden = !text;
    const place = told.querySelector("span");
    if (place) place.textContent = text;
  }
}

function loaded(image: HTMLImageElement): Promise<boolean> {
  return new Promise((go) => {
    image.addEventListener("load", () => go(true), { once: true });
    image.addEventListener("error", () => go(false), { once: true });
  });
}

// One picture at a time: each is decoded at home, and whoever watches comes first.
async function pictures(): Promise<void> {
  const waiting = new Set(document.querySelectorAll<HTMLImageElement>("#tl img[data-src]"));
  const seen = new Set<HTMLImageElement>();
  let wake = (): void => undefined;
  const watch = new IntersectionObserver((changes) => {
    for (const change of changes) {
      if (!(change.target instanceof HTMLImageElement)) continue;
      if (change.isIntersecting) seen.add(change.target);
      else seen.delete(change.target);
    }
    wake();
  }, { rootMargin: "200px" });
  for (const image of waiting) watch.observe(image);
  const strip = document.querySelector<HTMLImageElement>("fw-player img.strip");
  if (strip && !strip.complete) await loaded(strip);
  while (waiting.size) {
    const next = [...seen].find((image) => waiting.has(image));
    if (!next) {
      await new Promise<void>((go) => (wake = go));
      continue;
    }
    waiting.delete(next);
    watch.unobserve(next);
    // Home makes one picture at a time; another page may be before us.
    for (let tries = 0; tries < 3; tries += 1) {
      if (tries) await new Promise((go) => setTimeout(go, 3000));
      next.src = next.dataset["src"] ?? "";
      if (await loaded(next)) break;
      next.removeAttribute("src");
    }
  }
}

if (root) {
  new Stage();
  void pictures();
  const pick = document.querySelector<HTMLSelectElement>("#tl-pick");
  pick?.addEventListener("change", () => pick.form?.requestSubmit());
}
