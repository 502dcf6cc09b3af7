// <fw-map>: places on a map that never tells anybody which place is looked at.
//
// The base map is one file, fetched whole whatever is shown; without it there is a plain grid. Everything that is drawn comes
// from a JSON script inside the element:
//   {"areas": [{"cells": ["89..."], "label": "", "href": "", "kind": "request|own|past"}],
//    "points": [{"id": "", "lat": 0, "lon": 0, "label": "", "href": "", "kind": "camera|evidence|own", "heading": 0, "fov": 0, "range_m": 0}],
//    "shapes": [GeoJSON geometries, such as a jurisdiction], "view": {"lat": 0, "lon": 0, "zoom": 14}}
// mode="pin":  one point can be dragged or moved by arrow keys; its place goes to the fields named lat and lon of the form around.
//              Without a point the pin waits in the view's middle, and the fields stay empty until somebody moves it.
// mode="draw": the first tap (or Enter on the cross-hair) chooses seven cells, each further one switches one; the list goes to the field named by `field`, as JSON.
import { cellToBoundary, cellsToMultiPolygon, gridDisk, latLngToCell } from "h3-js";
import * as maplibregl from "maplibre-gl";
import type { GeoJSONSource, LngLatLike, StyleSpecification } from "maplibre-gl";
import "maplibre-gl/dist/maplibre-gl.css";
import { PMTiles, Protocol, type RangeResponse, type Source } from "pmtiles";
import type * as GeoJSON from "geojson";
import "./map.css";

const RESOLUTION = 9;
const EARTH_M = 6_371_008;

interface Area {
  cells: string[];
  label?: string;
  href?: string;
  kind?: string;
}
interface Point {
  id?: string;
  lat: number;
  lon: number;
  label?: string;
  href?: string;
  kind?: string;
  heading?: number;
  fov?: number;
  range_m?: number;
}
interface Drawn {
  areas?: Area[];
  points?: Point[];
  shapes?: GeoJSON.Geometry[];
  view?: { lat: number; lon: number; zoom: number };
}

// A whole archive in memory: a request for a part of it would say where somebody is looking.
class WholeFile implements Source {
  private data: Promise<ArrayBuffer> | undefined;
  constructor(private readonly url: string) {}
  getKey(): string {
    return this.url;
  }
  async getBytes(offset: number, length: number): Promise<RangeResponse> {
    this.data ??= fetch(this.url).then((answer) => {
      if (!answer.ok) throw new Error(`the base map answered ${answer.status}`);
      return answer.arrayBuffer();
    });
    return { data: (await this.data).slice(offset, offset + length) };
  }
}

const protocol = new Protocol();
maplibregl.addProtocol("pmtiles", protocol.tile);

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function style(base: string | null): StyleSpecification {
  const land = token("--map-land");
  const layers: StyleSpecification["layers"] = [{ id: "land", type: "background", paint: { "background-color": land } }];
  const sources: StyleSpecification["sources"] = {};
  if (base) {
    sources["base"] = { type: "vector", url: `pmtiles://${base}` };
    const fill = (id: string, kind: string, colour: string): void => {
      layers.push({ id, type: "fill", source: "base", "source-layer": kind, paint: { "fill-color": token(colour) } });
    };
    fill("green", "green", "--map-green");
    fill("water", "water", "--map-water");
    fill("buildings", "buildings", "--map-building");
    for (const [id, colour, extra] of [["street-edge", "--map-edge", 2], ["street", "--map-street", 0]] as const) {
      layers.push({
        id, type: "line", source: "base", "source-layer": "streets",
        layout: { "line-cap": "round", "line-join": "round" },
        paint: {
          "line-color": token(colour),
          "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 11, ["+", ["*", 0.25, ["get", "width"]], extra / 2], 18, ["+", ["*", 3.2, ["get", "width"]], extra]],
        },
      });
    }
    layers.push({
      id: "street-name", type: "symbol", source: "base", "source-layer": "streets", minzoom: 14,
      layout: { "symbol-placement": "line", "text-field": ["get", "name"], "text-size": 12, "text-font": ["sans-serif"] },
      paint: { "text-color": token("--map-text"), "text-halo-color": land, "text-halo-width": 1.5 },
    });
  }
  return { version: 8, sources, layers };
}

function shape(cells: string[]): GeoJSON.MultiPolygon {
  return { type: "MultiPolygon", coordinates: cellsToMultiPolygon(cells, true) as GeoJSON.Position[][][] };
}

function corners(shape: unknown): [number, number][] {
  if (!Array.isArray(shape)) return [];
  return typeof shape[0] === "number" ? [shape as [number, number]] : shape.flatMap(corners);
}

function bounds(cells: string[], points: Point[], shapes: GeoJSON.Geometry[]): maplibregl.LngLatBounds | undefined {
  const all: [number, number][] = points.map((p) => [p.lon, p.lat]);
  for (const cell of cells) all.push(...(cellToBoundary(cell, true) as [number, number][]));
  for (const shape of shapes) if ("coordinates" in shape) all.push(...corners(shape.coordinates));
  const first = all[0];
  return first && all.reduce((box, at) => box.extend(at), new maplibregl.LngLatBounds(first, first));
}

// The sector that a camera sees, as a polygon; a full circle where its field of view is 360.
function cone(point: Point): GeoJSON.Feature {
  const range = point.range_m ?? 30;
  const fov = Math.min(point.fov ?? 360, 360);
  const ring: GeoJSON.Position[] = fov < 360 ? [[point.lon, point.lat]] : [];
  for (let i = 0; i <= 32; i++) {
    const bearing = (((point.heading ?? 0) - fov / 2 + (fov * i) / 32) * Math.PI) / 180;
    const lat = point.lat + ((range * Math.cos(bearing)) / EARTH_M) * (180 / Math.PI);
    const lon = point.lon + ((range * Math.sin(bearing)) / (EARTH_M * Math.cos((point.lat * Math.PI) / 180))) * (180 / Math.PI);
    ring.push([lon, lat]);
  }
  ring.push(ring[0] as GeoJSON.Position);
  return { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [ring] } };
}

const empty = (): GeoJSON.FeatureCollection => ({ type: "FeatureCollection", features: [] });

class FairMap extends HTMLElement {
  private map: maplibregl.Map | undefined;
  private drawn: Drawn = {};
  private chosen = new Set<string>();
  private markers: maplibregl.Marker[] = [];
  private scheme = matchMedia("(prefers-color-scheme: dark)");

  connectedCallback(): void {
    const script = this.querySelector("script[type='application/json']");
    this.drawn = JSON.parse(script?.textContent ?? "{}") as Drawn;
    const place = document.createElement("div");
    place.className = "map-canvas";
    this.append(place);
    const base = this.getAttribute("base");
    if (base) protocol.add(new PMTiles(new WholeFile(base)));
    maplibregl.setWorkerUrl(this.getAttribute("worker") ?? "map-worker.js");
    const view = this.drawn.view ?? { lat: 0, lon: 0, zoom: 1 };
    this.map = new maplibregl.Map({
      container: place, style: style(base), center: [view.lon, view.lat], zoom: view.zoom, maxZoom: 19,
      attributionControl: base ? { compact: true, customAttribution: this.getAttribute("attribution") ?? "" } : false,
      cooperativeGestures: this.hasAttribute("cooperative"), fadeDuration: 0, dragRotate: false, pitchWithRotate: false,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
    this.map.addControl(new maplibregl.ScaleControl({ unit: this.getAttribute("unit") === "imperial" ? "imperial" : "metric" }));
    const canvas = this.map.getCanvas();
    canvas.setAttribute("aria-label", this.getAttribute("label") ?? "Map");
    this.map.on("load", () => this.fill());
    this.scheme.addEventListener("change", this.restyle);
  }

  disconnectedCallback(): void {
    this.scheme.removeEventListener("change", this.restyle);
    this.map?.remove();
  }

  private restyle = (): void => {
    this.map?.setStyle(style(this.getAttribute("base")), { diff: false });
    this.map?.once("styledata", () => this.layers());
  };

  private fill(): void {
    this.layers();
    const points = this.drawn.points ?? [];
    if (this.getAttribute("mode") === "pin") this.pin();
    else for (const point of points) this.mark(point);
    if (this.getAttribute("mode") === "draw") this.draw();
    this.fit();
    this.dataset["ready"] = "";
  }

  private fit(): void {
    const box = bounds((this.drawn.areas ?? []).flatMap((a) => a.cells), this.drawn.points ?? [], this.drawn.shapes ?? []);
    if (box && !this.drawn.view) this.map?.fitBounds(box, { padding: 48, maxZoom: 16.5, duration: 0 });
  }

  private layers(): void {
    const map = this.map;
    if (!map || map.getSource("areas")) return;
    const areas: GeoJSON.Feature[] = (this.drawn.areas ?? []).map((area, index) => ({
      type: "Feature", id: index, properties: { kind: area.kind ?? "request", index }, geometry: shape(area.cells),
    }));
    const outlines: GeoJSON.Feature[] = (this.drawn.shapes ?? []).map((geometry) => ({ type: "Feature", properties: {}, geometry }));
    map.addSource("shapes", { type: "geojson", data: { type: "FeatureCollection", features: outlines } });
    map.addLayer({ id: "shapes", type: "line", source: "shapes", paint: { "line-color": token("--soft"), "line-width": 2, "line-dasharray": [3, 2] } });
    map.addSource("areas", { type: "geojson", data: { type: "FeatureCollection", features: areas } });
    const colour = ["match", ["get", "kind"], "past", token("--soft"), "refused", token("--bad"), token("--act")] as unknown as string;
    map.addLayer({ id: "areas", type: "fill", source: "areas", paint: { "fill-color": colour, "fill-opacity": 0.16 } });
    map.addLayer({ id: "areas-edge", type: "line", source: "areas", paint: { "line-color": colour, "line-width": 2 } });
    map.addSource("cones", { type: "geojson", data: this.cones() });
    map.addLayer({ id: "cones", type: "fill", source: "cones", paint: { "fill-color": token("--map-cone"), "fill-opacity": 0.3 } });
    map.addLayer({ id: "cones-edge", type: "line", source: "cones", paint: { "line-color": token("--map-cone"), "line-width": 1.5 } });
    map.addSource("cells", { type: "geojson", data: this.chosenShape() });
    map.addLayer({ id: "cells", type: "fill", source: "cells", paint: { "fill-color": token("--act"), "fill-opacity": 0.2 } });
    map.addLayer({ id: "cells-edge", type: "line", source: "cells", paint: { "line-color": token("--act"), "line-width": 2 } });
    map.on("click", "areas", (event) => {
      const area = this.drawn.areas?.[Number(event.features?.[0]?.properties["index"])];
      if (area?.href) location.assign(area.href);
    });
  }

  private cones(): GeoJSON.FeatureCollection {
    return { type: "FeatureCollection", features: (this.drawn.points ?? []).filter((p) => p.fov).map(cone) };
  }

  private mark(point: Point): void {
    const node = document.createElement(point.href ? "a" : "span");
    node.className = `map-point ${point.kind ?? "camera"}`;
    if (node instanceof HTMLAnchorElement && point.href) node.href = point.href;
    node.title = point.label ?? "";
    node.setAttribute("aria-label", point.label ?? "");
    if (!point.href) node.setAttribute("role", "img");
    this.place(node, [point.lon, point.lat]);
  }

  private place(element: HTMLElement, at: LngLatLike, draggable = false): maplibregl.Marker {
    if (!this.map) throw new Error("the map is not there yet");
    const marker = new maplibregl.Marker({ element, draggable }).setLngLat(at).addTo(this.map);
    this.markers.push(marker);
    return marker;
  }

  // -- one point that its owner moves

  private pin(): void {
    const known = this.drawn.points?.[0];
    const form = this.closest("form");
    const middle = this.map?.getCenter();
    if (!middle || !form) return;
    const point: Point = known ?? { lat: middle.lat, lon: middle.lng };
    const settled = (): void => void (this.drawn.points?.length || (this.drawn.points = [point]));
    const field = (name: string): HTMLInputElement | undefined => {
      const found = form.elements.namedItem(name);
      return found instanceof HTMLInputElement ? found : undefined;
    };
    const node = document.createElement("button");
    node.type = "button";
    node.className = "map-point pin";
    node.setAttribute("aria-label", this.getAttribute("pin-label") ?? "");
    const marker = this.place(node, [point.lon, point.lat], true);
    const told = (written = true): void => {
      settled();
      const at = marker.getLngLat();
      point.lat = at.lat;
      point.lon = at.lng;
      for (const name of ["heading", "fov", "range_m"] as const) point[name] = Number(field(name)?.value ?? point[name] ?? 0);
      this.source("cones")?.setData(this.cones());
      const [lat, lon] = [field("lat"), field("lon")];
      if (lat && written) lat.value = at.lat.toFixed(6);
      if (lon && written) lon.value = at.lng.toFixed(6);
      form.dispatchEvent(new CustomEvent("placed", { bubbles: true }));
    };
    marker.on("drag", () => told());
    node.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.0005 : 0.00005;
      const moves: Record<string, [number, number]> = { ArrowUp: [0, step], ArrowDown: [0, -step], ArrowLeft: [-step, 0], ArrowRight: [step, 0] };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      event.stopPropagation();
      const at = marker.getLngLat();
      marker.setLngLat([at.lng + move[0], at.lat + move[1]]);
      told();
    });
    this.map?.on("click", (event) => {
      marker.setLngLat(event.lngLat);
      told();
    });
    form.addEventListener("input", (event) => {
      if (event.target instanceof HTMLInputElement && ["lat", "lon"].includes(event.target.name)) {
        const [lat, lon] = [Number(field("lat")?.value), Number(field("lon")?.value)];
        if (Number.isFinite(lat) && Number.isFinite(lon) && Math.abs(lat) <= 85) {
          if (!field("lat")?.value || !field("lon")?.value) return;
          marker.setLngLat([lon, lat]);
          this.map?.easeTo({ center: [lon, lat], zoom: Math.max(this.map.getZoom(), 16), duration: 200 });
          told(false);
        }
      } else if (this.drawn.points?.length) told();
    });
    if (known) told();
  }

  // -- an area of cells

  private draw(): void {
    for (const cell of (this.drawn.areas ?? [])[0]?.cells ?? []) this.chosen.add(cell);
    this.source("areas")?.setData(empty());
    this.map?.on("click", (event) => this.toggle(latLngToCell(event.lngLat.lat, event.lngLat.lng, RESOLUTION)));
    this.map?.getCanvas().addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      const at = this.map?.getCenter();
      if (at) this.toggle(latLngToCell(at.lat, at.lng, RESOLUTION));
    });
    const cross = document.createElement("span");
    cross.className = "map-cross";
    cross.setAttribute("aria-hidden", "true");
    this.append(cross);
    this.addEventListener("choose", (event) => {
      const around = (event as CustomEvent<{ lat: number; lon: number; rings: number }>).detail;
      this.chosen = new Set(gridDisk(latLngToCell(around.lat, around.lon, RESOLUTION), around.rings));
      this.told();
    });
    this.told();
  }

  private toggle(cell: string): void {
    // The smallest area that may be asked about is a cell with its six neighbours: the first choice is that.
    if (this.chosen.size === 0) this.chosen = new Set(gridDisk(cell, 1));
    else if (!this.chosen.delete(cell)) this.chosen.add(cell);
    this.told();
  }

  private told(): void {
    this.source("cells")?.setData(this.chosenShape());
    const field = this.closest("form")?.elements.namedItem(this.getAttribute("field") ?? "area");
    if (field instanceof HTMLInputElement) {
      field.value = JSON.stringify([...this.chosen].sort());
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }
  }

  private chosenShape(): GeoJSON.FeatureCollection {
    const features: GeoJSON.Feature[] = [...this.chosen].map((cell) => ({
      type: "Feature", properties: {}, geometry: shape([cell]),
    }));
    return { type: "FeatureCollection", features };
  }

  private source(name: string): GeoJSONSource | undefined {
    return this.map?.getSource<GeoJSONSource>(name);
  }
}

customElements.define("fw-map", FairMap);
