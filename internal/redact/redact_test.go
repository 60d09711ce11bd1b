package redact_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/redact"
)

const canary = "CANARYcanary0123456789"

// Threat 17: one list for the log, for mail servers and for token endpoints.
func TestThreat17_WhatIsACredentialIsTakenOut(t *testing.T) {
	for _, text := range []string{
		"Get \"https://jit.example.com/review?activation=" + canary + "\": EOF",
		"POST https://admin:" + canary + "@proxy.example.com/x failed",
		"socks5://admin:a?" + canary + "#" + canary + "@proxy.example.com:1080",
		"GET /review?activation=" + canary,
		"https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=" + canary,
		"https://support.google.com/mail/?p=BadCredentials&token=" + canary,
		"https://support.google.com/mail/?p=" + canary,
		"https://x.example.com/#access_token=" + canary,
		"Authorization: Bearer " + canary,
		"bearer: " + canary,
		"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("jit:"+canary)),
		"sent AUTH PLAIN " + canary + "==",
		"sent AUTH=XOAUTH2 " + canary,
		"password=" + canary + ", host=x",
		`{"signedJwt": "` + canary + `"}`,
		`{"access_token":"` + canary + `","n":1}`,
		`{"client_secret":"` + canary,
		"client_assertion=" + canary + "&x=1",
		"token eyJhbGciOiJSUzI1NiJ9." + canary + "." + canary + " is bad",
		"link JhbGciOiJSUzI1NiJ9~~" + canary + "~" + canary,
		"ya29." + canary + "-_x",
		"the token 1//0" + canary + "_x is not valid",
		"-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----\n" + canary,
	} {
		for name, got := range map[string]string{"Credentials": redact.Credentials(text), "Answer": redact.Answer(text)} {
			if strings.Contains(got, canary) || !strings.Contains(got, redact.Mark) || strings.Contains(got, base64.StdEncoding.EncodeToString([]byte("jit:"+canary))) {
				t.Errorf("%s of %q is %q", name, text, got)
			}
		}
	}
}

func TestWhatIsNoCredentialStays(t *testing.T) {
	for _, text := range []string{
		"",
		"googleapi: Error 409: There were concurrent policy changes, conflict",
		"https://cloudresourcemanager.googleapis.com/v3/projects/shop-prod:setIamPolicy answered 500",
		"https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp",
		"Basic authentication is not supported for Client Submission.",
		"mpa-AAAAAAAAAAAAAAAA of ana@example.com for roles/compute.admin",
		"Trace ID: 7d8fc6a9-2d93-4df0-99de-412c5a1d1700",
		"Ok: queued as 4F2C31A0B7",
		"a question? yes",
	} {
		if got := redact.Answer(text, "", "correct horse"); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// Threat 17: who was sent a secret may repeat it.
func TestThreat17_TheAnswerOfWhoWasSentASecret(t *testing.T) {
	in := base64.StdEncoding.EncodeToString
	const secret, other = "correct horse/1", "another%secret"
	for text, want := range map[string]string{
		"no: " + secret + " is wrong":                           "no: [redacted] is wrong",
		"no: " + secret + " and " + other:                       "no: [redacted] and [redacted]",
		"you said " + in([]byte("\x00jit\x00"+secret)) + ", no": "you said [redacted], no",
		"you said " + in([]byte("\x00jit\x00whatever")):         "you said [redacted]",
		"you said " + in([]byte("app:"+other)) + " to us":       "you said [redacted] to us",
		"CORRECT HORSE/1 is known":                              redact.Mark,
		"no: " + url.QueryEscape(secret):                        redact.Mark,
		"no: " + url.QueryEscape(other):                         redact.Mark,
	} {
		if got := redact.Answer(text, secret, "", other); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := redact.Words("said 8Q9xabcdefghijklmnopq and hexadecimal 4F2C31A0B7"); got != "said [redacted] and hexadecimal 4F2C31A0B7" {
		t.Errorf("long words: %q", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("535 no: jit@example.com correct horse", "correct horse", "x")
	f.Add("https://a:b@example.com/?token=a Bearer c eyJhbGci.eyJh.x", "b", "")
	f.Fuzz(func(t *testing.T, text, one, two string) {
		got := redact.Words(redact.Answer(text, one, two))
		for _, secret := range []string{one, two} {
			if len(secret) >= 4 && got != redact.Mark && !strings.Contains(redact.Mark, secret) && strings.Contains(got, secret) {
				t.Errorf("%q is in %q", secret, got)
			}
		}
	})
}
