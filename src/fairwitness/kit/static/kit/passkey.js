// Runs the passkey dialogue for the one form on the page that asks for it, then sends the form.
(function () {
  'use strict'
  document.querySelectorAll('form[data-passkey]').forEach(function (form) {
    const kind = form.dataset.passkey
    const error = document.getElementById(form.dataset.error)
    const button = form.querySelector('button')

    async function options () {
      if (form.dataset.options) {
        return JSON.parse(document.getElementById(form.dataset.options).textContent)
      }
      const answer = await fetch(form.action, { headers: { Accept: 'application/json' } })
      if (!answer.ok) throw new Error('no options: ' + answer.status)
      return await answer.json()
    }

    form.addEventListener('submit', async function (event) {
      event.preventDefault()
      error.hidden = true
      button.disabled = true
      try {
        const found = await options()
        const credential = kind === 'add'
          ? await window.webauthnJSON.create(found.creation_options)
          : await window.webauthnJSON.get(found.request_options)
        form.elements.credential.value = JSON.stringify(credential)
        form.submit()
      } catch (problem) {
        error.hidden = false
        button.disabled = false
        button.focus()
      }
    })
  })
})()
