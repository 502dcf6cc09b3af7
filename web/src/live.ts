// A camera as it is now. Pieces of half a second are fetched one after the other and put into a MediaSource; nothing is kept open,
// so home stops by itself when the fetches do: on a page that is left, hidden, or watched for ten minutes without a move.
import "./live.css";

interface Settings {
  stream: string;
  still: string;
  viewer: string;
  words: Record<"starting" | "live" | "stopped" | "still" | "at" | "lost", string>;
}

const EVERY_MS = 600;
const STILL_MS = 5000;
const PATIENCE_MS = 20_000;
const LEFT_ALONE_MS = 10 * 60_000;
const BEHIND_S = 4; // further behind than this, the player leaps to the newest pictures
const KEEP_S = 20;
const AGAIN_MS = 30_000; // stills for so long, then the stream is tried again

const settings = JSON.parse(document.getElementById("live-settings")?.textContent ?? "{}") as Settings;
const root = document.getElementById("live");
const video = root?.querySelector("video");
const image = document.querySelector<HTMLImageElement>("#live-still");
const badge = document.getElementById("live-badge");
const again = document.querySelector<HTMLButtonElement>("#live-again");
const full = document.querySelector<HTMLButtonElement>("#live-full");
const wait = (ms: number): Promise<void> => new Promise((go) => setTimeout(go, ms));

let moved = Date.now();
for (const name of ["pointerdown", "keydown", "pointermove"]) addEventListener(name, () => (moved = Date.now()), { passive: true });
const left = (): boolean => document.hidden || Date.now() - moved > LEFT_ALONE_MS;

function tell(text: string, live = false): void {
  const words = badge?.querySelector(":scope > span");
  if (words && words.textContent !== text) words.textContent = text;
  badge?.classList.toggle("on-air", live);
}

class Stream {
  private readonly media = new MediaSource();
  private buffer: SourceBuffer | undefined;
  private cursor = "";
  private began = 0;

  constructor(private readonly target: HTMLVideoElement) {
    target.src = URL.createObjectURL(this.media);
  }

  // Runs until nobody watches (true) or it cannot go on (false).
  async run(): Promise<boolean> {
    await new Promise((go) => this.media.addEventListener("sourceopen", go, { once: true }));
    let since = Date.now();
    try {
      while (!left()) {
        const asked = Date.now();
        const answer = await fetch(`${settings.stream}?viewer=${settings.viewer}&after=${this.cursor}`, { headers: { Accept: "application/json" } });
        if (!answer.ok) return false;
        if (answer.status === 200) {
          await this.take(answer);
          since = Date.now();
        } else if (Date.now() - since > PATIENCE_MS) return false;
        await wait(Math.max(EVERY_MS - (Date.now() - asked), 50));
      }
    } catch {
      return false;
    } finally {
      URL.revokeObjectURL(this.target.src);
    }
    return true;
  }

  private async take(answer: Response): Promise<void> {
    const data = await answer.arrayBuffer();
    const codec = answer.headers.get("X-Live-Codec");
    if (codec) {
      const type = `video/mp4; codecs="${codec}"`;
      if (!MediaSource.isTypeSupported(type)) throw new Error(type);
      this.began = Number(answer.headers.get("X-Live-Began"));
      if (this.buffer) this.buffer.changeType(type);
      else this.buffer = this.media.addSourceBuffer(type);
    }
    this.cursor = answer.headers.get("X-Live-Cursor") ?? "";
    const buffer = this.buffer;
    if (!buffer || !data.byteLength) return;
    await this.done(buffer, () => buffer.appendBuffer(data));
    await this.keepUp(buffer);
  }

  private async keepUp(buffer: SourceBuffer): Promise<void> {
    const ranges = buffer.buffered;
    if (!ranges.length) return;
    const end = ranges.end(ranges.length - 1);
    const begin = ranges.start(ranges.length - 1);
    const at = this.target.currentTime;
    if (at < begin || end - at > BEHIND_S) this.target.currentTime = Math.max(begin, end - 1.2);
    // A little faster while it lags, so that a short stall does not stay for good.
    this.target.playbackRate = end - at > 2.5 ? 1.1 : 1;
    if (this.target.paused) await this.target.play().catch(() => undefined);
    const behind = Math.max(Math.round(Date.now() / 1000 - (this.began + this.target.currentTime)), 2);
    if (behind < 600) tell(settings.words.live.replace("{seconds}", String(behind)), true);
    const old = this.target.currentTime - KEEP_S;
    if (old > 5 && ranges.start(0) < old - 5) await this.done(buffer, () => buffer.remove(0, old));
  }

  private done(buffer: SourceBuffer, act: () => void): Promise<void> {
    return new Promise((go, fail) => {
      buffer.addEventListener("updateend", () => go(), { once: true });
      buffer.addEventListener("error", () => fail(new Error("buffer")), { once: true });
      act();
    });
  }
}

// What can be shown always: the newest picture, fetched anew every five seconds while somebody looks.
async function stills(): Promise<void> {
  tell(settings.words.still);
  const until = Date.now() + AGAIN_MS;
  while (image && !left() && Date.now() < until) {
    await wait(STILL_MS);
    if (left()) break;
    try {
      const answer = await fetch(settings.still, { headers: { Accept: "application/json" } });
      if (answer.status === 204) continue; // no picture of this camera yet
      if (!answer.ok) throw new Error(String(answer.status));
      const old = image.src;
      image.src = URL.createObjectURL(await answer.blob());
      if (old.startsWith("blob:")) URL.revokeObjectURL(old);
      const at = new Date(Number(answer.headers.get("X-Picture-At")) * 1000);
      image.title = settings.words.at.replace("{time}", at.toLocaleTimeString(document.documentElement.lang || undefined));
    } catch {
      tell(settings.words.lost);
    }
  }
}

function show(moving: boolean): void {
  if (video) video.hidden = !moving;
  if (image) image.hidden = moving;
  if (full) full.hidden = !moving;
}

async function watch(): Promise<void> {
  if (!video || !image) return;
  if (again) again.hidden = true;
  moved = Date.now();
  video.addEventListener("playing", () => show(true));
  while (!left()) {
    if ("MediaSource" in window) {
      tell(settings.words.starting);
      if (await new Stream(video).run()) break;
      show(false);
    }
    await stills();
  }
  tell(settings.words.stopped);
  if (again) again.hidden = false;
}

if (root && settings.stream) {
  void watch();
  again?.addEventListener("click", () => void watch());
  full?.addEventListener("click", () => void video?.requestFullscreen());
}
