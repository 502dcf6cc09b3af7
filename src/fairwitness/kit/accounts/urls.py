"""The addresses under /auth/. Of allauth's, only the passkey ceremonies and the OIDC round trip are reachable."""

from django.urls import URLPattern, path

from fairwitness.kit import config
from fairwitness.kit.accounts import gate, views

urlpatterns: list[URLPattern] = [
    path("sign-in", views.sign_in, name="account_login"),
    path("sign-out", views.sign_out, name="account_logout"),
    path("enrol", views.enrol, name="enrol"),
    path("enrol/passkey", views.enrol_passkey, name="enrol_passkey"),
    path("passkey/sign-in", views.sign_in_with_passkey, name="mfa_login_webauthn"),
    path("passkey/follow", views.follow_with_passkey, name="mfa_authenticate"),
    path("passkey/again", views.step_up, name="mfa_reauthenticate_webauthn"),
    path("passkey/add", views.add_passkey, name="mfa_add_webauthn"),
    path("passkeys/<int:pk>/remove", views.remove_passkey, name="remove_passkey"),
    path("account", views.account, name="mfa_index"),
    path("sessions/<int:pk>/revoke", views.revoke_session, name="revoke_session"),
    path("totp", views.totp, name="totp"),
]

if config.role_name() != "home":
    from fairwitness.kit.accounts import social

    _why = "the round trip to a sign-in provider; a passkey assertion follows before a session exists"
    urlpatterns += [
        path("people", views.people, name="people"),
        path("people/add", views.add_person, name="add_person"),
        path("people/<int:pk>/<slug:action>", views.change_person, name="change_person"),
        path("oidc/<slug:provider_id>/login", gate.anyone(_why)(social.login), name="openid_connect_login"),
        path("oidc/<slug:provider_id>/callback", gate.anyone(_why)(social.callback), name="openid_connect_callback"),
    ]
