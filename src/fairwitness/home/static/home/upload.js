'use strict';
// Sends files in parts by the tus protocol (1.0.0), one at a time, and asks the owner when each was recorded.
// What the home node has counted is the truth: after a break, a pause or a reload, this asks it how far a file got.
(() => {
  const PART = 8 * 1024 * 1024
  const LONGEST_WAIT = 15000
  const STALLED = 30000
  const {url, largest, words} = JSON.parse(document.getElementById('settings').textContent)
  const by = id => document.getElementById(id)
  const lang = document.documentElement.lang
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name])
  const say = text => { by('says').textContent = text }
  const token = () => document.cookie.split('; ').map(c => c.split('=')).find(([name]) => name.endsWith('_csrf'))?.[1] ?? ''
  const sleep = ms => new Promise(done => setTimeout(done, ms))
  const ours = new Map() // id -> {view, file, going, paused, node, ...}
  let hub = Promise.resolve() // the sending of one file after the other
  let lock = null

  // -- how things are written

  function size (bytes) {
    const step = bytes < 1e6 ? ['kilobyte', 1e3, 0] : bytes < 1e9 ? ['megabyte', 1e6, 1] : ['gigabyte', 1e9, 2]
    return new Intl.NumberFormat(lang, {style: 'unit', unit: step[0], maximumFractionDigits: step[2]}).format(bytes / step[1])
  }
  function length (seconds) {
    const s = Math.max(Math.round(seconds), 1), two = n => String(n).padStart(2, '0')
    const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60
    return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`
  }
  function left (seconds) {
    const [unit, n] = seconds < 60 ? ['second', Math.ceil(seconds / 5) * 5] : ['minute', Math.ceil(seconds / 60)]
    return new Intl.NumberFormat(lang, {style: 'unit', unit, unitDisplay: 'short'}).format(n)
  }
  const utc = at => new Date(at * 1000).toISOString().slice(0, 19).replace('T', ' ')
  function wall (at, zone) {
    const parts = Object.fromEntries(new Intl.DateTimeFormat('en-GB', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit'
    }).formatToParts(new Date(at * 1000)).map(p => [p.type, p.value]))
    return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}`
  }
  function spoken (at, zone) {
    return new Intl.DateTimeFormat(lang, {timeZone: zone, dateStyle: 'medium', timeStyle: 'medium'}).format(new Date(at * 1000))
  }
  function spokenWall (local) {
    return spoken(Date.parse(local + 'Z') / 1000, 'UTC')
  }
  const hourOf = (at, zone) => new Intl.DateTimeFormat(lang, {timeZone: zone, timeStyle: 'medium'}).format(new Date(at * 1000))
  const here = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
  const zone = () => { try { return localStorage.getItem('fairwitness-zone') || here() } catch { return here() } }
  function zones () {
    const all = Intl.supportedValuesOf ? Intl.supportedValuesOf('timeZone') : []
    return [...new Set([zone(), here(), 'UTC', ...all])]
  }

  // -- talking to the home node

  class Answer extends Error {
    constructor (status, code, text) { super(text); this.status = status; this.code = code }
  }
  async function call (method, address, {json, headers = {}} = {}) {
    let answer
    try {
      answer = await fetch(address, {
        method,
        headers: {'Accept': 'application/json', 'X-CSRFToken': token(), ...(json ? {'Content-Type': 'application/json'} : {}), ...headers},
        body: json ? JSON.stringify(json) : undefined
      })
    } catch { throw new Answer(0, 'offline', words.offline) }
    if (!answer.ok) throw await problem(answer.status, method === 'HEAD' ? '' : await answer.text().catch(() => ''))
    return answer
  }
  async function problem (status, text) {
    if (status === 401) return new Answer(401, 'auth', words.signed_out)
    try {
      const {code, message, hint} = JSON.parse(text).error
      return new Answer(status, code, status === 507 || status === 413 || status === 409 ? `${message} ${hint}`.trim() : message)
    } catch { return new Answer(status, 'odd', words.failed) }
  }
  const tus = headers => ({headers: {'Tus-Resumable': '1.0.0', ...headers}})
  const spell = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)))
  const place = id => `${url}/${id}`
  function part (item, blob, offset) {
    return new Promise((done, failed) => {
      const sender = new XMLHttpRequest()
      item.sender = sender
      sender.open('PATCH', place(item.view.id))
      for (const [name, value] of Object.entries({
        'Tus-Resumable': '1.0.0', 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream', 'X-CSRFToken': token(), 'Accept': 'application/json'
      })) sender.setRequestHeader(name, value)
      // A network that goes away without a word leaves a request hanging for minutes.
      let stirred = Date.now()
      const watch = setInterval(() => { if (Date.now() - stirred > STALLED) sender.abort() }, 1000)
      sender.onloadend = () => clearInterval(watch)
      sender.upload.onprogress = event => { stirred = Date.now(); item.sent = offset + event.loaded; measure(item); draw(item) }
      sender.onload = async () => sender.status === 204 ? done(Number(sender.getResponseHeader('Upload-Offset'))) : failed(await problem(sender.status, sender.responseText))
      sender.onerror = sender.ontimeout = () => failed(new Answer(0, 'offline', words.offline))
      sender.onabort = () => failed(item.paused ? new Answer(0, 'paused', '') : new Answer(0, 'offline', words.offline))
      sender.send(blob)
    })
  }
  function measure (item) {
    const now = performance.now()
    if (item.last && now - item.last[0] < 800) return
    if (item.last && item.sent > item.last[1]) {
      const rate = (item.sent - item.last[1]) / (now - item.last[0]) * 1000
      item.rate = item.rate ? item.rate * 0.7 + rate * 0.3 : rate
    }
    item.last = [now, item.sent]
  }
  async function awake (wanted) {
    // A phone that falls asleep stops sending.
    if (!navigator.wakeLock) return
    if (wanted && !lock && document.visibilityState === 'visible') {
      lock = await navigator.wakeLock.request('screen').catch(() => null)
      lock?.addEventListener('release', () => { lock = null })
    } else if (!wanted && lock) {
      lock.release().catch(() => null)
      lock = null
    }
  }

  async function send (item) {
    let wait = 1000
    item.going = true
    draw(item)
    awake(true) // not waited for: a browser may take its time, or never answer
    while (!item.paused && ours.has(item.view.id)) {
      try {
        const head = await call('HEAD', place(item.view.id), tus({}))
        let offset = Number(head.headers.get('Upload-Offset'))
        item.error = ''
        while (offset < item.file.size && !item.paused) {
          item.sent = offset
          draw(item)
          offset = await part(item, item.file.slice(offset, offset + PART), offset)
          item.view.offset = offset
          wait = 1000
        }
        if (offset >= item.file.size) {
          item.file = null
          item.view.state = 'checking'
          break
        }
      } catch (error) {
        if (!(error instanceof Answer)) {
          // The browser can no longer read the file: it was moved, or the card taken out.
          item.error = words.again_hint
          item.file = null
          break
        }
        if (error.code === 'paused') continue
        if ([0, 409, 423].includes(error.status) || (error.status >= 500 && error.status !== 507)) {
          // 423: what the broken connection left is still being written down.
          if (error.status !== 423 && error.status !== 409) item.error = error.message
          item.offline = error.status === 0
          draw(item)
          await Promise.race([sleep(wait), error.status ? new Promise(() => {}) : online(), item.wake = pausing(item)])
          wait = Math.min(wait * 2, error.status === 423 ? 2000 : LONGEST_WAIT)
          continue
        }
        item.error = error.message
        item.paused = true
        break
      }
    }
    item.going = false
    item.rate = 0
    item.last = null
    draw(item)
    awake(false)
    refresh()
  }
  const online = () => new Promise(done => addEventListener('online', () => done(), {once: true}))
  const pausing = item => new Promise(done => { item.stir = done })
  function enqueue (item) {
    item.paused = false
    item.queued = true
    draw(item)
    hub = hub.then(async () => {
      item.queued = false
      if (!item.paused && item.file) await send(item)
      else draw(item)
    }).catch(() => { trouble(words.failed) })
  }
  function pause (item) {
    item.paused = true
    item.error = ''
    item.sender?.abort()
    item.stir?.()
    say(fill(words.is_paused, {name: item.view.name}))
    draw(item)
  }

  // -- choosing

  const camera = by('camera'), name = by('camera-name'), files = by('files')
  function chosen () {
    const fresh = camera.value === 'new'
    by('new-camera').hidden = !fresh
    by('picker').hidden = fresh
    by('placed').hidden = fresh || !('unplaced' in camera.selectedOptions[0].dataset)
  }
  camera.addEventListener('change', chosen)
  by('new-camera').addEventListener('submit', async event => {
    event.preventDefault()
    const text = name.value.trim()
    by('camera-problem').textContent = ''
    name.removeAttribute('aria-invalid')
    try {
      if (!text) throw new Answer(422, '', words.camera_name)
      const made = await (await call('POST', url.replace('uploads', 'cameras'), {json: {name: text}})).json()
      const option = new Option(made.name, made.id)
      option.dataset.unplaced = ''
      camera.insertBefore(option, camera.lastElementChild)
      camera.value = made.id
      name.value = ''
      chosen()
      files.focus()
      say(fill(words.camera_added, {name: made.name}))
    } catch (error) {
      by('camera-problem').textContent = error.message
      name.setAttribute('aria-invalid', 'true')
      name.focus()
    }
  })
  const markOf = file => `${file.size}-${file.lastModified}`
  async function take (list) {
    const box = by('choose-problem')
    box.replaceChildren()
    const wrong = text => {
      const p = document.createElement('p')
      p.className = 'error'
      p.setAttribute('role', 'alert')
      p.textContent = text
      box.append(p)
    }
    for (const file of list) {
      const values = {name: file.name, size: size(file.size), most: size(largest)}
      if (!file.size) { wrong(fill(words.empty, values)); continue }
      if (file.size > largest) { wrong(fill(words.too_large, values)); continue }
      const known = [...ours.values()].find(i => i.view.state === 'receiving' && !i.file && i.view.name === file.name && i.view.mark === markOf(file))
      if (known) { known.file = file; enqueue(known); continue }
      try {
        const metadata = Object.entries({filename: file.name || 'video', camera: camera.value, mark: markOf(file)}).map(([k, v]) => `${k} ${spell(v)}`).join(',')
        const made = await call('POST', url, tus({'Upload-Length': file.size, 'Upload-Metadata': metadata}))
        const id = made.headers.get('Location').split('/').pop()
        const view = {
          id, name: file.name, mark: markOf(file), camera: Number(camera.value), camera_name: camera.selectedOptions[0].text, size: file.size,
          offset: 0, state: 'receiving', sentence: '', seconds: null, start: null, end: null, found: [], asked: 0
        }
        const item = {view, file, sent: 0, fresh: true}
        ours.set(id, item)
        show(item, true)
        enqueue(item)
      } catch (error) { wrong(`${file.name}: ${error.message}`) }
    }
    empty()
  }
  files.addEventListener('change', async () => { const list = [...files.files]; files.value = ''; await take(list) })
  const drop = document.querySelector('.drop')
  for (const kind of ['dragenter', 'dragover']) drop.addEventListener(kind, event => { event.preventDefault(); drop.classList.add('over') })
  for (const kind of ['dragleave', 'drop']) drop.addEventListener(kind, event => { event.preventDefault(); drop.classList.remove('over') })
  drop.addEventListener('drop', event => take([...event.dataTransfer.files]))

  // -- showing

  function trouble (text) { by('trouble').textContent = text }
  function empty () { by('nothing').hidden = ours.size > 0 }
  function show (item, first) {
    item.node = by('item').content.firstElementChild.cloneNode(true)
    item.node.querySelector('h3').textContent = item.view.name
    by('list')[first ? 'prepend' : 'append'](item.node)
    draw(item)
  }
  function phase (item) {
    const {state, start} = item.view
    if (state === 'receiving') {
      if (item.error && !item.going) return 'stopped'
      if (item.going && !item.paused) return 'sending'
      if (item.queued) return 'waiting'
      return item.file ? 'paused' : 'stopped'
    }
    return state === 'kept' ? (start === null ? 'ask' : 'done') : state
  }
  const MOOD = {sending: 'here', waiting: '', paused: '', stopped: 'warn', checking: 'here', ask: 'warn', done: 'good', refused: 'bad', duplicate: 'warn'}
  function set (node, text) { if (node.textContent !== text) node.textContent = text }
  function draw (item) {
    const {view, node} = item
    if (!node) return
    const now = phase(item), at = selector => node.querySelector(selector)
    const badge = at('.badge')
    set(badge, words[now])
    badge.className = `badge ${MOOD[now]}`
    node.classList.toggle('paused', now === 'paused' || now === 'stopped')
    const facts = [view.camera_name, size(view.size)]
    if (view.seconds) facts.push(fill(words.length, {time: length(view.seconds)}))
    set(at('.facts'), facts.join(' · '))
    const sending = view.state === 'receiving' || view.state === 'checking'
    at('.going').hidden = !sending
    if (sending) {
      const sent = view.state === 'checking' ? view.size : Math.min(item.sent || view.offset, view.size)
      const bar = at('progress')
      if (view.state === 'checking') bar.removeAttribute('value')
      else bar.value = sent / view.size
      bar.setAttribute('aria-label', `${words[now]}: ${view.name}`)
      let text = fill(words.progress, {done: size(sent), size: size(view.size)})
      if (now === 'sending' && item.rate) text += ' · ' + fill(words.left, {time: left((view.size - sent) / item.rate)})
      set(at('.amount'), view.state === 'checking' ? '' : text)
    }
    const lost = view.state === 'receiving' && !item.file && !item.going
    const told = at('.told')
    const text = lost ? words.again_hint : ''
    told.hidden = !text && now !== 'done'
    if (now === 'done') done(item, told)
    else set(told, text)
    set(at('.why'), item.error && item.error !== text ? item.error : view.state === 'refused' || view.state === 'duplicate' ? view.sentence : '')
    at('.why').classList.toggle('softly', item.going === true || view.state === 'duplicate')
    buttons(item, now, lost)
    when(item, now)
    if (item.phase !== now) {
      if (item.phase && now === 'ask') say(fill(words.needs_time, {name: view.name}))
      item.phase = now
    }
  }
  function done (item, told) {
    const {view} = item
    const unplaced = [...camera.options].find(o => o.value === String(view.camera))?.dataset.unplaced !== undefined
    const asked = view.asked === 1 ? words.asked_one : view.asked ? fill(words.asked_many, {count: view.asked}) : unplaced ? words.no_place : words.asked_none
    const key = [view.start, view.end, asked, zone()].join()
    if (told.dataset.key === key) return
    told.dataset.key = key
    const place = zone(), small = document.createElement('span'), match = document.createElement('strong')
    small.className = 'small'
    small.textContent = `${place.replaceAll('_', ' ')} · ${utc(view.start)} UTC`
    match.textContent = asked
    if (!view.asked) match.className = 'small'
    told.replaceChildren(fill(words.recorded, {begin: spoken(view.start, place), end: hourOf(view.end, place)}), small, match)
  }
  function button (text, act, kind = 'quiet') {
    const made = document.createElement('button')
    made.type = 'button'
    made.className = kind
    made.textContent = text
    made.addEventListener('click', act)
    return made
  }
  function buttons (item, now, lost) {
    const key = [now, lost, item.paused].join()
    if (item.buttons === key) return
    item.buttons = key
    const acts = item.node.querySelector('.acts')
    const held = acts.contains(document.activeElement)
    const row = []
    if (now === 'sending' || now === 'waiting') row.push(button(words.pause, () => pause(item)))
    if (item.file && (now === 'paused' || now === 'stopped')) row.push(button(words.resume, () => { item.error = ''; enqueue(item) }))
    if (lost) row.push(button(words.again, () => again(item), ''))
    if (now === 'done') row.push(button(words.change, () => { item.changing = true; when(item, now); item.node.querySelector('.time input').focus() }))
    const gone = button(words.delete, () => remove(item), 'quiet bad')
    gone.setAttribute('aria-label', fill(words.delete_name, {name: item.view.name}))
    row.push(gone)
    acts.replaceChildren(...row)
    if (held) row[0].focus()
  }
  function again (item) {
    const chooser = document.createElement('input')
    chooser.type = 'file'
    chooser.accept = 'video/*'
    chooser.addEventListener('change', () => {
      const [file] = chooser.files
      if (!file) return
      if (file.size !== item.view.size || (item.view.mark && item.view.mark !== markOf(file))) {
        item.error = fill(words.other_file, {name: item.view.name, size: size(item.view.size)})
        draw(item)
        return
      }
      item.error = ''
      item.file = file
      enqueue(item)
    })
    chooser.click()
  }
  function remove (item) {
    const dialog = by('sure')
    by('sure-text').textContent = fill(words.delete_sure, {name: item.view.name})
    by('sure-no').textContent = words.keep
    by('sure-yes').textContent = words.delete_yes
    dialog.returnValue = 'no'
    dialog.onclose = async () => {
      if (dialog.returnValue !== 'yes') return
      item.paused = true
      item.sender?.abort()
      item.stir?.()
      try {
        await call('DELETE', place(item.view.id), tus({}))
      } catch (error) {
        if (error.status !== 404) { item.error = error.message; draw(item); return }
      }
      ours.delete(item.view.id)
      item.node.remove()
      empty()
      say(fill(words.deleted, {name: item.view.name}))
      by('yours').tabIndex = -1
      by('yours').focus()
      refresh()
    }
    dialog.showModal()
  }

  // -- when was it

  function when (item, now) {
    const box = item.node.querySelector('.time')
    const wanted = now === 'ask' || (now === 'done' && item.changing)
    box.hidden = !wanted
    if (!wanted) { box.replaceChildren(); item.form = null; return }
    if (item.form) return
    const form = item.form = by('time').content.firstElementChild.cloneNode(true)
    const [input, choice] = [form.querySelector('input'), form.querySelector('select')]
    const twice = form.querySelector('fieldset'), told = form.querySelector('.utc'), go = form.querySelector('button.primary')
    const [forInput, forZone] = form.querySelectorAll('label')
    input.id = `at-${item.view.id}`
    choice.id = `zone-${item.view.id}`
    forInput.htmlFor = input.id
    forZone.htmlFor = choice.id
    forInput.textContent = words.begins
    forZone.textContent = words.in_zone
    go.textContent = words.confirm
    choice.append(...zones().map(z => new Option(z.replaceAll('_', ' '), z)))
    choice.value = zone()
    let moments = [], asked = 0
    async function look (wanted) {
      const turn = ++asked
      moments = []
      twice.hidden = true
      const held = Number(twice.querySelector('input:checked')?.value)
      twice.querySelector('div').replaceChildren()
      if (!input.value) { told.textContent = ''; return }
      try {
        const local = input.value.length === 16 ? input.value + ':00' : input.value
        const answer = await call('GET', `${url}/moments?${new URLSearchParams({local: local.slice(0, 19), zone: choice.value})}`)
        if (turn !== asked) return
        moments = (await answer.json()).moments
      } catch (error) { told.textContent = error.message; return }
      if (!moments.length) told.textContent = words.never
      else if (moments.length === 1) told.textContent = fill(words.utc, {time: utc(moments[0])})
      else { told.textContent = ''; both(wanted ?? held) }
    }
    function both (wanted) {
      twice.hidden = false
      twice.querySelector('legend').textContent = words.twice
      twice.querySelector('div').replaceChildren(...moments.map((at, n) => {
        const label = document.createElement('label'), radio = document.createElement('input')
        radio.type = 'radio'
        radio.name = `which-${item.view.id}`
        radio.value = at
        radio.required = true
        radio.checked = at === wanted
        label.append(radio, fill(n ? words.second : words.first, {time: utc(at)}))
        return label
      }))
    }
    let last = choice.value, exact = null
    input.addEventListener('change', () => { exact = null; look() })
    choice.addEventListener('change', () => {
      try { localStorage.setItem('fairwitness-zone', choice.value) } catch { /* nothing is kept then */ }
      // A moment that was taken over stays the same moment; a typed wall clock stays as typed.
      if (exact !== null) input.value = wall(exact, choice.value)
      last = choice.value
      proposals()
      look(exact)
    })
    function proposals () {
      const list = form.querySelector('.found')
      list.replaceChildren(...item.view.found.map(found => {
        const row = document.createElement('li'), what = document.createElement('div'), label = document.createElement('span')
        const time = document.createElement('time'), note = document.createElement('span')
        what.className = 'what'
        label.className = note.className = 'small'
        label.textContent = found.place === 'name' ? words.from_name : words.from_container
        const text = found.at === null ? spokenWall(found.local) : spoken(found.at, choice.value)
        time.textContent = text
        note.textContent = found.place === 'container' ? `${found.local.replace('T', ' ')}, ${words.utc_claim}` : found.at === null ? words.wall_clock : `${utc(found.at)} UTC`
        what.append(label, time, note)
        const use = button(words.use, () => {
          exact = found.at
          input.value = found.at === null ? found.local : wall(found.at, choice.value)
          look(exact)
          go.focus()
        }, '')
        use.setAttribute('aria-label', fill(words.use_time, {time: text}))
        row.append(what, use)
        return row
      }))
      if (!item.view.found.length) {
        const row = document.createElement('li')
        row.textContent = words.nothing_found
        list.append(row)
      }
    }
    proposals()
    if (item.view.start !== null) {
      exact = item.view.start
      input.value = wall(exact, last)
      look(exact)
    }
    form.addEventListener('submit', async event => {
      event.preventDefault()
      await look(Number(form.querySelector('input[type=radio]:checked')?.value) || exact || undefined)
      const at = moments.length === 1 ? moments[0] : Number(form.querySelector('input[type=radio]:checked')?.value)
      if (!at) { (twice.hidden ? input : twice.querySelector('input')).focus(); return }
      try {
        item.view = await (await call('POST', `${place(item.view.id)}/time`, {json: {start: at}})).json()
        item.error = ''
        item.changing = false
        say(fill(words.is_done, {name: item.view.name}))
        draw(item)
        const head = item.node.querySelector('h3')
        head.tabIndex = -1
        head.focus()
      } catch (error) { told.textContent = error.message }
    })
    box.replaceChildren(form)
  }

  // -- keeping up

  let timer = 0
  async function refresh () {
    clearTimeout(timer)
    try {
      const views = await (await call('GET', url)).json()
      const ids = new Set(views.map(view => view.id))
      for (const view of views) {
        const item = ours.get(view.id)
        if (!item) {
          const made = {view, file: null, sent: 0}
          ours.set(view.id, made)
          show(made, false)
        } else {
          const sending = item.going || item.queued
          if (!(sending && view.state === 'receiving')) { item.view = view; if (!sending) item.sent = 0 }
          draw(item)
        }
      }
      for (const [id, item] of ours) if (!ids.has(id) && !item.going && !item.queued) { item.node.remove(); ours.delete(id) }
      trouble('')
    } catch (error) { trouble(error.message) }
    empty()
    if ([...ours.values()].some(item => item.view.state === 'checking') || by('trouble').textContent) timer = setTimeout(refresh, 1500)
  }
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState !== 'visible') return
    if ([...ours.values()].some(item => item.going)) awake(true)
    refresh()
  })
  addEventListener('online', refresh)
  addEventListener('offline', () => { for (const item of ours.values()) item.sender?.abort() })
  chosen()
  refresh()
})()
