package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

const canary = "canary-6f1d"

// Whatever is done with a configuration, its secrets stay in it.
func TestThreat17_SecretsNeverPrint(t *testing.T) {
	c := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_USERNAME=jit", "SMTP_PASSWORD="+canary, "SMTP_OPTIONS=mail.smtp.password="+canary)
	if c.Mail.Password.Reveal() != canary {
		t.Fatal("the secret is lost")
	}
	hidden := struct{ secret config.Secret }{c.Mail.Password}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		for _, value := range []any{c, *c, c.Mail, c.Mail.Password, &c.Mail.Password, hidden, &hidden, []config.Secret{c.Mail.Password}, map[string]any{"p": c.Mail.Password}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	fmt.Fprintln(&out, c.Mail.Password, hidden)
	for _, value := range []any{c.Mail, c.Mail.Password, map[config.Secret]int{c.Mail.Password: 1}} {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
	}
	encoded, err := xml.Marshal(c.Mail.Password)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("start", "config", c, "mail", c.Mail, "password", c.Mail.Password, "hidden", hidden)
	}
	// As bytes in hexadecimal, too.
	if text := strings.ToLower(out.String()); strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
		t.Error("the secret is printed")
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("it is not said that something is left out")
	}
}

// Nor in faults and warnings, not even when a secret was put where none belongs.
func TestThreat17_SecretsAreNotInFaults(t *testing.T) {
	for _, entry := range []string{
		"SMTP_SECRET=" + canary,
		"DATABASE_URL=mysql://jit:" + canary + "@db.example.com/jit",
		"SIGNING_KEY=" + canary,
		"SMTP_OPTIONS=mail.smtp.port=" + canary,
		"PUBLIC_URL=https://jit:" + canary + "@jit.example.com",
		"JITACCESS_GOOGLE_ENDPOINT=http://jit:" + canary + "@localhost:8081",
		"SMTP_HOST=smtp://jit:" + canary + "@smtp.example.com",
		"POLICY=https://jit:" + canary + "@policy.example.com/",
	} {
		_, err := read(with("SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_PASSWORD="+canary, entry))
		if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "[redacted]") {
			t.Errorf("%s: %v", entry, err)
		}
	}
	if c := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_PASSWORD="+canary, "SMTP_OPTIONS=mail.smtp.password="+canary+", "+canary); strings.Contains(strings.Join(c.Warnings, "\n"), canary) {
		t.Error("a warning shows it")
	}
}

func TestSecret_Zero(t *testing.T) {
	if s := config.NewSecret(""); !s.IsZero() || s.Reveal() != "" || s.String() != "[redacted]" {
		t.Error("the empty secret is not zero")
	}
}

// A secret as it comes out of Secret Manager, or out of a variable.
func TestOneLine(t *testing.T) {
	long := strings.Repeat(canary, 64<<10/len(canary))
	for stored, want := range map[string]string{
		canary: canary, canary + "\n": canary, canary + "\r\n": canary, long + "\n": long,
		"~+/=:%&\u00fc ": "~+/=:%&\u00fc ", " \t": " \t",
	} {
		if got, err := config.OneLine([]byte(stored)); err != nil || got != want {
			t.Errorf("%.30q: %.30q, %v", stored, got, err)
		}
	}
	for stored, says := range map[string]string{
		"": "is empty", "\n": "is empty", "\r\n": "is empty",
		canary + "\n\n": "line break", canary + "\r": "line break", "\r\n" + canary: "line break", canary + "\n" + canary: "line break",
		canary + "\r\n" + canary + "\r\n": "line break", canary + "\x00": "NUL",
	} {
		if got, err := config.OneLine([]byte(stored)); err == nil || got != "" || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %q, %v; want that it %s", stored, got, err, says)
		}
	}
}
