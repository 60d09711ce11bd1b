package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/journal"
	"jitaccess/internal/redact"
)

const pasted = "CANARYcanary0123456789"

// pastedTokens are what people paste into any field, whole and cut off.
var pastedTokens = []string{
	"eyJhbGciOiJSUzI1NiJ9." + pasted + "." + pasted, "eyJhbGciOiJSUzI1NiIsImtpZCI6I" + pasted,
	"JhbGciOiJSUzI1NiJ9~~" + pasted + "~" + pasted, "JhbGciOiJSUzI1NiIsImtpZCI6I" + pasted,
	"ya29." + pasted, "ghp_" + pasted, "AIzaSy" + pasted, "xoxb-1-" + pasted, "Bearer " + pasted,
	"-----BEGIN PRIVATE KEY-----\n" + pasted,
}

// fill puts a text into every string below a value, and one element into every list.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text)
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(&access.Error{Kind: access.Invalid, Code: access.Code(text), Args: access.Args{"value": text},
				Err: fmt.Errorf("reading %q: %w", text, errors.New(text))}))
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text)
		if value.Kind() == reflect.Interface {
			value.Set(reflect.ValueOf(text))
		} else {
			fill(value, text)
		}
		m.SetMapIndex(key, value)
		v.Set(m)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && v.Type() != reflect.TypeFor[time.Time]() {
				fill(v.Field(i), text)
			}
		}
	}
}

// Threat 17: whatever field of an event a token is put into, the journal does not have it.
func TestThreat17_NoFieldOfTheJournalHasAToken(t *testing.T) {
	actions := []access.Action{access.RequestMade, access.ReviewersAdded, access.SelfApproved, access.RequestApproved, access.RequestDenied, access.GrantWritten,
		access.GrantFailed, access.EndAsked, access.GrantEnded, access.EndFailed, access.NoticeFailed, access.ActionRefused, "something new"}
	for _, token := range pastedTokens {
		for _, action := range actions {
			var e access.Event
			fill(reflect.ValueOf(&e).Elem(), token)
			e.Action, e.At, e.Window = action, at, window
			wantNoToken(t, string(action)+" with "+token, func(j *journal.Journal) error { return j.Record(journal.WithIncident(t.Context(), token), e) })
		}
	}
}

// Threat 17: and neither has any part of an ordinary line.
func TestThreat17_NoPartOfTheLogHasAToken(t *testing.T) {
	type text string
	for _, token := range pastedTokens {
		for name, log := range map[string]func(*slog.Logger){
			"the message":    func(l *slog.Logger) { l.Warn("got " + token) },
			"an attribute":   func(l *slog.Logger) { l.Info("x", "value", token) },
			"a named text":   func(l *slog.Logger) { l.Info("x", "value", text(token)) },
			"a list":         func(l *slog.Logger) { l.Info("x", "value", []string{"a", token}) },
			"a struct":       func(l *slog.Logger) { l.Info("x", "value", struct{ A string }{token}) },
			"a group":        func(l *slog.Logger) { l.Info("x", slog.Group("g", "value", token)) },
			"the line's own": func(l *slog.Logger) { l.With("value", token).Info("x") },
			"an error":       func(l *slog.Logger) { l.Error("x", "error", errors.New(token)) },
			"an error of ours": func(l *slog.Logger) {
				l.Error("x", "error", &access.Error{Kind: access.Invalid, Code: access.CodeBadStart, Err: errors.New(token)})
			},
			"what an error got": func(l *slog.Logger) {
				l.Error("x", "error", fmt.Errorf("field: %q", access.Clip(token+", "+token, 80)))
			},
		} {
			wantNoToken(t, name+" with "+token, func(j *journal.Journal) error {
				log(slog.New(j.Handler(slog.LevelInfo)))
				return nil
			})
		}
	}
}

func wantNoToken(t *testing.T, name string, record func(*journal.Journal) error) {
	t.Helper()
	var b bytes.Buffer
	if err := record(journal.New(&b, "p")); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if line := b.String(); strings.Contains(line, pasted[:8]) || !strings.Contains(line, redact.Mark) {
		t.Errorf("%s: %.400s", name, line)
	}
}

// What people write about is evidence, and stays.
func TestReasonsStayAsTheyAre(t *testing.T) {
	for _, reason := range []string{"Bug 4711", "password: ana forgot hers", "https://tickets.example.com/?token=1", "the bearer of bad news", "key=value; secret=none"} {
		var b bytes.Buffer
		r := request()
		r.Justification = reason
		if err := journal.New(&b, "").Record(t.Context(), access.Event{Action: access.RequestMade, At: at, Caller: ana, Request: r}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), `"justification":"`+reason+`"`) {
			t.Errorf("%q became %s", reason, b.String())
		}
	}
}
