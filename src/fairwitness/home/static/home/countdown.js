'use strict'
// Counts down the time that a code has left; what became of it, the page asks the home.
const bar = document.querySelector('progress[data-until]')
if (bar) {
  const begun = Date.now()
  const timer = setInterval(() => {
    bar.value = Math.max(0, 120 - (Date.now() - begun) / 1000)
    const told = document.querySelector('#pairing-state.told')
    if (told || bar.value === 0) {
      clearInterval(timer)
      for (const node of document.querySelectorAll('#pairing > :not(#pairing-state)')) node.hidden = true
    }
  }, 1000)
}
