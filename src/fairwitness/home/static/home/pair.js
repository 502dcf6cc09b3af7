'use strict'
// The code stands behind the #, which browsers send to nobody. It is taken out of the address, so that no history keeps it.
const code = decodeURIComponent(location.hash.slice(1))
if (/^[A-Za-z2-7-]{10,40}$/.test(code)) {
  document.getElementById('code').value = code
  history.replaceState(null, '', location.pathname)
}
