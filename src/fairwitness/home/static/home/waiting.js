'use strict'
// A page that stays open says in its title how much waits, and sounds once for something new where this browser was told to.
const KEY = 'fairwitness-sound'
const title = document.title
let known = null

function sounds () {
  try { return localStorage.getItem(KEY) === 'on' } catch { return false }
}

function tone () {
  const audio = new AudioContext()
  const gain = audio.createGain()
  gain.connect(audio.destination)
  gain.gain.setValueAtTime(0.0001, audio.currentTime)
  gain.gain.exponentialRampToValueAtTime(0.2, audio.currentTime + 0.05)
  gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.9)
  for (const [pitch, begin] of [[660, 0], [880, 0.25]]) {
    const one = audio.createOscillator()
    one.frequency.value = pitch
    one.connect(gain)
    one.start(audio.currentTime + begin)
    one.stop(audio.currentTime + 0.9)
  }
}

function look () {
  const node = document.querySelector('[data-waiting]')
  if (!node) return
  const count = Number(node.dataset.waiting)
  document.title = count ? `(${count}) ${title}` : title
  if (known !== null && count > known && sounds()) tone()
  known = count
}

look()
document.addEventListener('htmx:after:swap', look)

const box = document.getElementById('sound')
if (box) {
  box.checked = sounds()
  box.addEventListener('change', () => {
    try { localStorage.setItem(KEY, box.checked ? 'on' : 'off') } catch { box.checked = false }
  })
  document.getElementById('sound-try').addEventListener('click', tone)
}
