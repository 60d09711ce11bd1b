package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"jitaccess/internal/access"
)

// apiError is the body of every refusal of the JSON interface. JIT Access 1.x has
// only the message.
type apiError struct {
	Message  string `json:"message"`
	Code     string `json:"code"`
	Incident string `json:"incident"`
	// Field is the form field to blame, in the words of the pages.
	Field string `json:"field,omitempty"`
	// ActivationID is the request's own id, where one is known.
	ActivationID string `json:"activationId,omitempty"`
}

// aboutRequest is an error about a request whose id is known.
type aboutRequest struct {
	id  string
	err error
}

func (a aboutRequest) Error() string { return a.err.Error() }
func (a aboutRequest) Unwrap() error { return a.err }

// api adapts a handler that returns what to answer.
func (s *server) api(h func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		if err != nil {
			var about aboutRequest
			errors.As(err, &about)
			s.writeJSONError(w, r, err, about.id)
			return
		}
		writeJSON(w, http.StatusOK, body)
	}
}

func (s *server) writeJSONError(w http.ResponseWriter, r *http.Request, err error, id string) {
	p, status := s.problem(r, err)
	writeJSON(w, status, apiError{Message: inFull(p.Refusal), Code: string(access.AsError(err).Code), Incident: p.Incident,
		Field: p.Field, ActivationID: id})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	b, _ := json.Marshal(body) // our own types always can be; a test renders each
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b)
}

// readJSON reads one JSON object. Unknown members are ignored, as JIT Access 1.x
// does; null, and anything after the object, is refused, and so is what is not UTF-8: the decoder would
// put other characters in its place.
func readJSON[T any](r *http.Request) (body T, err error) {
	if err := accepted(r, "application/json"); err != nil {
		return body, err
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return body, bodyError("the body cannot be read", err)
	}
	if !utf8.Valid(text) {
		return body, badInput("the body is not UTF-8", nil)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	object := &body
	if err := d.Decode(&object); err != nil || object == nil {
		return body, bodyError("the body is not the JSON object that belongs here", err)
	}
	if err := nothingAfter(d); err != nil {
		return body, bodyError("there is something after the JSON object", err)
	}
	return body, nil
}

// nothingAfter is an error if something follows what was read.
func nothingAfter(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("there is something after it"), err)
	}
	return nil
}
