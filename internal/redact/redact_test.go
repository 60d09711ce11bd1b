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
		`{"refreshToken":"` + canary + `"}`,
		`{"expiresInSeconds":"3600","idToken":"` + canary + `"}`,
		`accessToken: ` + canary,
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

// looksLike are tokens by their form; each begins with what tells it.
var looksLike = map[string]string{
	"a JWT":                       "eyJhbGciOiJSUzI1NiJ9.eyJ" + canary + "." + canary,
	"the head of one":             "eyJhbGciOiJSUzI1NiIsImtpZCI6I" + canary,
	"its claims":                  "eyJpc3MiOiJ" + canary,
	"a link's token":              "JhbGciOiJSUzI1NiJ9~~" + canary + "~" + canary,
	"the head of it":              "JhbGciOiJSUzI1NiIsImtpZCI6I" + canary,
	"… with the key first":        "JraWQiOiI" + canary,
	"… with the type first":       "J0eXAiOiJKV1Qi" + canary,
	"Google's access token":       "ya29." + canary,
	"Google's refresh token":      "1//0" + canary,
	"Google's API key":            "AIzaSy" + canary,
	"Google's client secret":      "GOCSPX-" + canary,
	"GitHub's personal token":     "ghp_" + canary,
	"GitHub's server token":       "ghs_" + canary,
	"GitHub's fine-grained token": "github_pat_" + canary + "_" + canary,
	"GitLab's token":              "glpat-" + canary,
	"Slack's token":               "xoxb-123-" + canary,
	"npm's token":                 "npm_" + canary,
	"AWS' access key":             "AKIA" + strings.ToUpper(canary),
	"Stripe's key":                "sk_live_" + canary,
	"what bears":                  "Bearer " + canary,
	"a private key":               "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----",
	"another, cut off":            "-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary,
	"any block":                   "-----BEGIN PGP MESSAGE-----\n" + canary,
}

// Threat 17: a token is one wherever it stands, and however much of it.
func TestThreat17_WhatLooksLikeATokenIsTakenOut(t *testing.T) {
	for name, token := range looksLike {
		for _, text := range []string{token, "x=" + token, "please: “" + token + "” is mine", `"` + token + `"`, "two\n" + token + "\nlines", "(" + token + ")"} {
			for cut := len(text); cut > len(text)-8; cut-- {
				got := redact.Tokens(text[:cut])
				if strings.Contains(strings.ToUpper(got), "CANARYC") || !strings.Contains(got, redact.Mark) {
					t.Errorf("%s: of %q remains %q", name, text[:cut], got)
				}
			}
		}
	}
}

func TestWhatPeopleWriteStays(t *testing.T) {
	for _, text := range []string{
		"", "Bug 4711", "password: reset for ana", "The bearer of bad news", "key=value", "https://x.example.com/?token=1", "secret santa",
		"mpa-AAAAAAAAAAAAAAAA", "projects/shop-prod", "roles/compute.admin", "accessPolicies/1/accessLevels/office",
		strings.Repeat("ab12", 16), "eye test", "hey.Jude", "Jha", "AKIA", "ghp", "glpat", "sk_", "1//", "-----",
	} {
		if got := redact.Tokens(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, token := range looksLike {
		f.Add("before ", token, " after")
	}
	f.Fuzz(func(t *testing.T, before, token, after string) {
		got := redact.Tokens(before + " " + token + " " + after)
		if redact.Tokens(token) == redact.Mark && strings.Contains(got, token) {
			t.Errorf("%q is in %q", token, got)
		}
	})
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
