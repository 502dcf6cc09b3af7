// The one icon set: names of Lucide (ISC). Templates write {% icon "bell" %}; a test compares their names with this list.
export const ICONS = [
  "activity", "arrow-left", "arrow-right", "badge-check", "bell", "bell-off", "camera", "check", "chevron-down", "chevron-left",
  "chevron-right", "circle-alert", "circle-check", "circle-dot", "circle-help", "circle-x", "clapperboard", "clock", "copy", "download",
  "ellipsis", "expand", "external-link", "eye", "eye-off", "file-text", "file-video", "filter", "fingerprint", "flag", "folder-open",
  "gavel", "grip-vertical", "hard-drive", "history", "house", "inbox", "info", "key-round", "landmark", "layers", "link",
  "list", "loader", "lock", "log-out", "mail", "map", "map-pin", "menu", "message-square", "minus", "moon", "pause", "pencil",
  "play", "plus", "qr-code", "radio", "refresh-cw", "scale", "scan-eye", "scissors", "search", "send", "settings", "share-2",
  "shield", "shield-check", "skip-back", "skip-forward", "smartphone", "snowflake", "square-dashed", "step-back", "step-forward", "sun", "tag",
  "timer", "trash-2", "triangle-alert", "undo-2", "upload", "user", "user-check", "users", "video", "video-off", "volume-2",
  "volume-x", "wifi-off", "x", "zoom-in", "zoom-out",
];
