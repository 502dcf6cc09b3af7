// Bundles each entry by itself, so that a page loads what it uses and no more. Names are stable: the pages name them.
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { ICONS } from "./icons.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../src/fairwitness/kit/static/web");
const from = (name) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });

for (const entry of ["page", "map", "player", "timeline", "live", "masks", "blur"]) {
  await build({
    root: here,
    configFile: false,
    logLevel: "warn",
    publicDir: false,
    build: {
      outDir: out,
      emptyOutDir: false,
      target: "es2022",
      modulePreload: false,
      chunkSizeWarningLimit: 1500,
      rollupOptions: {
        input: join(here, `src/${entry}.ts`),
        output: { entryFileNames: `${entry}.js`, assetFileNames: `${entry}[extname]`, codeSplitting: false },
      },
    },
  });
}

// MapLibre's worker is a file of its own: the pages' policy allows no blob: scripts.
await cp(join(from("maplibre-gl"), "dist/maplibre-gl-worker.mjs"), join(out, "map-worker.js"));

// One sprite of the icons that pages use.
const icons = from("lucide-static");
const symbols = await Promise.all(
  ICONS.map(async (name) => {
    const svg = await readFile(join(icons, "icons", `${name}.svg`), "utf8");
    const inside = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>")).replace(/\s*\n\s*/g, "");
    return `<symbol id="${name}" viewBox="0 0 24 24">${inside}</symbol>`;
  }),
);
await writeFile(join(out, "icons.svg"), `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`);

// What is served contains these packages; their licences ask that they are named.
const { dependencies } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
const notices = await Promise.all(
  Object.keys(dependencies).map(async (name) => {
    const folder = from(name);
    const { version, license, author, repository } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((item) => /^licen[cs]e/i.test(item));
    const text = file ? await readFile(join(folder, file), "utf8") : `${author?.name ?? author ?? ""} ${repository?.url ?? ""}`;
    return `${name} ${version} (${license})\n\n${text}`;
  }),
);
await writeFile(join(out, "licences.txt"), `${notices.join(`\n${"-".repeat(80)}\n\n`)}\n`);
