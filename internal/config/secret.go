package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"jitaccess/internal/redact"
)

// Secret is a text that never prints: not with any verb of fmt, not as JSON or
// text, not in a log. The zero value is no secret.
type Secret struct {
	// A pointer, because fmt prints unexported fields of others without their methods.
	value *string
}

// NewSecret hides text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal is the text itself, for the one place that needs it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero is whether there is no secret.
func (s Secret) IsZero() bool { return s.value == nil }

func (s Secret) String() string               { return redact.Mark }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redact.Mark), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redact.Mark) }

// Format is for every verb, also those that would look past String, such as %#v and %x.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redact.Mark) }

// SecretPath is where a text is kept in Secret Manager:
// projects/PROJECT/secrets/SECRET/versions/VERSION.
type SecretPath string

// StoredText is a text that is given as it is, or by where it is kept: in a version
// of a secret in Secret Manager or, where a variable says so, of a parameter in Parameter
// Manager or in a file. At most one of its fields is set.
type StoredText struct {
	Version, File string
	Value         Secret
}

// IsZero is whether there is none.
func (s StoredText) IsZero() bool { return s == StoredText{} }

// OneLine makes a secret of what is stored. It strips the one line break that
// "echo SECRET | gcloud secrets …" stores, and refuses any other: whoever asks for
// the secret would merely say that it is wrong. Its errors hold nothing of it.
func OneLine(stored []byte) (string, error) {
	text, found := strings.CutSuffix(string(stored), "\n")
	if found {
		text = strings.TrimSuffix(text, "\r")
	}
	if text == "" {
		return "", errors.New("is empty")
	}
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", errors.New("has a line break or NUL within")
	}
	return text, nil
}
