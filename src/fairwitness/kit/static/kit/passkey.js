// Runs the passkey dialogue for the form that asks for it, then sends the form. The sentences stand in the page, translated.
(function () {
  'use strict'
  const REASONS = {
    NotAllowedError: 'cancelled', // refused, cancelled or timed out: browsers do not say which
    AbortError: 'cancelled',
    InvalidStateError: 'known', // this device holds a passkey for the account already
    SecurityError: 'unsupported', // the address is no name, or not https
    NotSupportedError: 'unsupported',
    ConstraintError: 'unsupported' // the device cannot check who holds it
  }

  document.querySelectorAll('form[data-passkey]').forEach(function (form) {
    const kind = form.dataset.passkey
    const error = document.getElementById('passkey-error')
    const button = form.querySelector('button')
    const words = button.querySelector('span')
    const idle = words.textContent
    let busy = false

    function wait (on) {
      busy = on
      words.textContent = on ? button.dataset.busy : idle
      if (on) button.setAttribute('aria-disabled', 'true')
      else button.removeAttribute('aria-disabled')
    }

    function say (reason) {
      error.textContent = error.dataset[reason]
      error.dataset.reason = reason
    }

    async function options () {
      if (form.dataset.options) return JSON.parse(document.getElementById(form.dataset.options).textContent)
      let answer
      try {
        answer = await fetch(form.action, { headers: { Accept: 'application/json' } })
      } catch (problem) {
        throw new Error('unreachable')
      }
      if (!answer.ok) throw new Error('unreachable')
      return await answer.json()
    }

    form.addEventListener('submit', async function (event) {
      event.preventDefault()
      if (busy) return
      if (!window.PublicKeyCredential) {
        say('unsupported')
        return
      }
      error.textContent = ''
      wait(true)
      try {
        const found = await options()
        const credential = kind === 'add'
          ? await window.webauthnJSON.create(found.creation_options)
          : await window.webauthnJSON.get(found.request_options)
        form.elements.credential.value = JSON.stringify(credential)
        form.submit()
      } catch (problem) {
        say(problem.message === 'unreachable' ? 'unreachable' : REASONS[problem.name] || 'failed')
        wait(false)
      }
    })

    // A page that comes back out of the browser's memory begins anew.
    window.addEventListener('pageshow', function (event) { if (event.persisted) wait(false) })
    if (!window.PublicKeyCredential) say('unsupported')
  })
})()
