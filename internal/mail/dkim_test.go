package mail_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// dkimKey is a private key and the DNS record that lets others verify with it.
type dkimKey struct{ pem, record string }

func newDKIMKey(t *testing.T, kind string) dkimKey {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if bare, ok := key.Public().(ed25519.PublicKey); ok {
		public = bare // RFC 8463, 4.2
	}
	return dkimKey{pemOf(t, "PRIVATE KEY", key), "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)}
}

// pemOf is a key in the form of a PEM type.
func pemOf(t *testing.T, kind string, key any) string {
	t.Helper()
	var der []byte
	var err error
	switch kind {
	case "RSA PRIVATE KEY":
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	case "EC PRIVATE KEY":
		der, err = x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	case "PUBLIC KEY":
		der, err = x509.MarshalPKIXPublicKey(key)
	default:
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// holds is a key that is read from where it always is.
func holds(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

// verifiers say which messages, by name, have a good signature: the library that
// made it, and dkimpy, which others have written.
var verifiers = map[string]func(t *testing.T, messages map[string]string, record string) map[string]bool{
	"dkimpy": func(t *testing.T, messages map[string]string, record string) map[string]bool {
		const script = `import dkim, json, nacl, sys
given = json.load(sys.stdin)
record = lambda name, **_: given["record"].encode() if name == b"jit2026._domainkey.example.com." else None
def good(message):
    try:
        return dkim.DKIM(message.encode()).verify(dnsfunc=record)
    except dkim.DKIMException:
        return False
print(json.dumps({name: good(message) for name, message in given["messages"].items()}))`
		input, err := json.Marshal(map[string]any{"messages": messages, "record": record})
		if err != nil {
			t.Fatal(err)
		}
		check := exec.Command("/usr/bin/python3", "-c", script) // Debian's, for which python3-dkim is
		check.Stdin = bytes.NewReader(input)
		check.Stderr = os.Stderr
		output, err := check.Output()
		good := map[string]bool{}
		if err != nil || json.Unmarshal(output, &good) != nil {
			t.Fatalf("dkimpy: %v %s (make test installs python3-dkim)", err, output)
		}
		return good
	},
	"go-msgauth": func(_ *testing.T, messages map[string]string, record string) map[string]bool {
		good := map[string]bool{}
		for name, message := range messages {
			found, err := dkim.VerifyWithOptions(strings.NewReader(message), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
				if name != "jit2026._domainkey.example.com" {
					return nil, errors.New("no such name: " + name)
				}
				return []string{record}, nil
			}})
			good[name] = err == nil && len(found) == 1 && found[0].Err == nil && found[0].Domain == "example.com"
		}
		return good
	},
}

// wantVerified demands that every verifier accepts all messages, or none.
func wantVerified(t *testing.T, want bool, messages map[string]string, record string) {
	t.Helper()
	for who, verify := range verifiers {
		for name, good := range verify(t, messages, record) {
			if good != want {
				t.Errorf("%s: %s says %v\n%.2000s", name, who, good, messages[name])
			}
		}
	}
}

// signedLetters are letters whose bodies are hard on a signature.
func signedLetters() map[string]access.Notice {
	all := letters()
	change := func(name string, change func(*access.Notice)) {
		n := review()
		change(&n)
		all[name] = n
	}
	change("dots", func(n *access.Notice) { n.Request.Justification = strings.Repeat(".", 400) })
	change("blanks", func(n *access.Notice) { n.Request.Justification = "a" + strings.Repeat(" \t", 100) + "b" })
	change("long line", func(n *access.Notice) { n.ReviewURL += strings.Repeat("x", 1900) })
	change("many recipients", func(n *access.Notice) {
		n.To = nil
		for _, a := range "abcdefghijklmnopqrstuvwxyz" {
			n.To = append(n.To, access.Principal(strings.Repeat(string(a), 40)+"@a-domain-with-a-long-name.example.com"))
		}
	})
	return all
}

func TestSignaturesVerify(t *testing.T) {
	for _, kind := range []string{"rsa", "ed25519"} {
		key := newDKIMKey(t, kind)
		s := smtptest.Start(t, withUser(smtptest.Options{}))
		c := config(s.Host, s.Port, s.Roots)
		c.SenderName = "Zugänge zu «Google» 🔑 für alle"
		c.Sign = mail.NewDKIM("jit2026", "example.com", holds(key.pem))
		m := mailer(t, c)
		signed := map[string]string{}
		for name, n := range signedLetters() {
			if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
				t.Fatal(failed)
			}
			got := s.Messages()
			message := got[len(got)-1].Data
			signed[kind+", "+name] = message
			header, _ := parse(t, message)
			if tags := header.Get("Dkim-Signature"); !strings.Contains(tags, "d=example.com;") || !strings.Contains(tags, "s=jit2026;") || strings.Contains(tags, "l=") {
				t.Errorf("%s, %s: signature is %s", kind, name, tags)
			}
		}
		if err := m.Probe(t.Context(), boris, func(string, string) {}); err != nil {
			t.Fatal(err)
		}
		got := s.Messages()
		signed[kind+", the test mail"] = got[len(got)-1].Data
		wantVerified(t, true, signed, key.record)
	}
}

// Threat 12 in transit: whoever passes a mail on can change nothing that people see.
func TestASignatureCoversWhatPeopleSee(t *testing.T) {
	key := newDKIMKey(t, "ed25519")
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.Sign = mail.NewDKIM("jit2026", "example.com", holds(key.pem))
	if failed := mailer(t, c).Notify(t.Context(), approved()).Failed(); failed != nil {
		t.Fatal(failed)
	}
	good := s.Messages()[0].Data
	header, body, _ := strings.Cut(good, "\r\n\r\n")
	changed := map[string]string{
		"body":            header + "\r\n\r\n" + strings.Replace(body, "ana@example.com", "eve@example.com", 1),
		"appended":        good + "Send your password.\r\n",
		"cut":             good[:len(good)-100],
		"no signature":    good[strings.Index(good, "\r\nFrom:")+2:],
		"foreign domain":  strings.Replace(good, "d=example.com", "d=example.org", 1),
		"another key":     strings.Replace(good, "s=jit2026", "s=jit2027", 1),
		"text after From": strings.Replace(good, "From: ", "From: eve@example.org, ", 1),
	}
	for _, field := range []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type"} {
		at := strings.Index(good, "\r\n"+field+": ")
		if at < 0 {
			t.Fatalf("no %s in\n%s", field, good)
		}
		value := at + 2 + len(field) + 2
		changed[field] = good[:value] + "x" + good[value:]
	}
	for _, field := range []string{"From: Eve <eve@example.org>", "Subject: Pay", "To: eve@example.org", "Cc: eve@example.org", "Reply-To: eve@example.org", "Date: x",
		"Message-ID: <x@example.org>", "Content-Type: text/html", "Content-Transfer-Encoding: base64"} {
		changed["one more at the top: "+field] = field + "\r\n" + good
		changed["one more behind the signature: "+field] = header + "\r\n" + field + "\r\n\r\n" + body
	}
	for what, message := range changed {
		if message == good {
			t.Fatalf("%s: not changed", what)
		}
	}
	wantVerified(t, false, changed, key.record)
	// What servers on the way do.
	wantVerified(t, true, map[string]string{
		"untouched":         good,
		"received":          "Received: from a by b\r\nReturn-Path: <jit@example.com>\r\n" + good,
		"marked":            header + "\r\nX-Spam: no\r\nPrecedence: list\r\n\r\n" + body,
		"blanks and folds":  strings.Replace(good, "Subject: Re: ", "subject:  Re:\r\n\t", 1),
		"empty lines added": good + "\r\n\r\n",
	}, key.record)
}

func TestWithoutAKeyNothingIsSent(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := newDKIMKey(t, "ed25519").pem
	cause := &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Args: access.Args{"permission": "secretmanager.versions.access"}}
	for _, test := range []struct {
		name string
		key  func(context.Context) ([]byte, error)
		says string
	}{
		{"empty", holds(""), "not PEM"},
		{"a password", holds("CANARY"), "not PEM"},
		{"64 KiB of something else", holds(strings.Repeat("CANARY ", 64<<10/7)), "not PEM"},
		{"without its line breaks", holds(strings.ReplaceAll(good, "\n", "")), "not PEM"},
		{"a public key", holds(pemOf(t, "PUBLIC KEY", small.Public())), `PEM block of type "PUBLIC KEY"`},
		{"a certificate", holds("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), `"CERTIFICATE"`},
		{"encrypted", holds("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), "must be an unencrypted"},
		{"encrypted, as once", holds("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "must be an unencrypted"},
		{"damaged", holds("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "damaged"},
		{"too short", holds(pemOf(t, "RSA PRIVATE KEY", small)), "1024 bits"},
		{"of another kind", holds(pemOf(t, "PRIVATE KEY", curve)), "must be RSA or Ed25519"},
		{"of another kind, in its own form", holds(pemOf(t, "EC PRIVATE KEY", curve)), `"EC PRIVATE KEY"`},
		{"not to be read", func(context.Context) ([]byte, error) { return nil, cause }, cause.Error()},
		{"not there", func(context.Context) ([]byte, error) { return nil, os.ErrNotExist }, "not exist"},
	} {
		s := smtptest.Start(t, withUser(smtptest.Options{}))
		c := config(s.Host, s.Port, s.Roots)
		c.Sign = mail.NewDKIM("jit2026", "example.com", test.key)
		failed := mailer(t, c).Notify(t.Context(), review()).Failed()
		wantUndelivered(t, failed, access.Upstream)
		text := failed[0].Err.Error()
		if !strings.Contains(text, test.says) || strings.Contains(text, "CANARY") || len(text) > 600 {
			t.Errorf("%s: error is %q, want it to say %q", test.name, text, test.says)
		}
		if sent := s.Messages(); len(sent) != 0 {
			t.Errorf("%s: sent %v", test.name, sent)
		}
	}
}

func TestKeysOfBothFormsSign(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pemOf(t, "RSA PRIVATE KEY", key)
	for name, text := range map[string]string{
		"PKCS #1": pkcs1, "PKCS #8": pemOf(t, "PRIVATE KEY", key), "with Windows' line breaks": strings.ReplaceAll(pkcs1, "\n", "\r\n"),
		"with words around it": "Selector jit2026\n" + pkcs1 + "\n\n",
	} {
		if _, err := mail.NewDKIM("jit2026", "example.com", holds(text))(t.Context(), []byte("From: a@example.com\r\n\r\nHello\r\n")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheKeyIsReadOnceAndAgainUntilThereIsOne(t *testing.T) {
	reads := 0
	texts := []string{"", newDKIMKey(t, "ed25519").pem, "never read"}
	sign := mail.NewDKIM("jit2026", "example.com", func(context.Context) ([]byte, error) {
		reads++
		return []byte(texts[reads-1]), nil
	})
	message := []byte("From: a@example.com\r\n\r\nHello\r\n")
	if _, err := sign(t.Context(), message); err == nil {
		t.Error("signed without a key")
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if signed, err := sign(t.Context(), message); err != nil || !slices.Equal(signed[len(signed)-len(message):], message) {
				t.Errorf("%s %v", signed, err)
			}
		})
	}
	all.Wait()
	if reads != 2 {
		t.Errorf("read %d times", reads)
	}
}

func TestReadingTheKeyEndsWithTheDeadline(t *testing.T) {
	ctx, over := context.WithCancel(t.Context())
	sign := mail.NewDKIM("jit2026", "example.com", func(ctx context.Context) ([]byte, error) {
		over()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	_, err := sign(ctx, []byte("From: a@example.com\r\n\r\n"))
	var own *access.Error
	if !errors.As(err, &own) || own.Kind != access.TimedOut {
		t.Errorf("error is %v", err)
	}
}
