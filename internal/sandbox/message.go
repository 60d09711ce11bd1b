package sandbox

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	gomessage "github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
)

// message is a mail taken apart for display.
type message struct {
	From, To, Cc, Subject string
	Date                  time.Time
	// HTML and Text are the first part of each kind; empty when there is none.
	HTML, Text string
	// Headers is everything above the body, as it was sent.
	Headers string
	// Fault says what about the mail could not be read; the rest is shown still.
	Fault string
}

// parseMessage never fails: what cannot be read is named in Fault.
func parseMessage(raw []byte) message {
	var m message
	m.Headers, _, _ = strings.Cut(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n\n")
	reader, err := mail.CreateReader(bytes.NewReader(raw))
	if reader == nil {
		m.Fault = err.Error()
		return m
	}
	m.From, m.To, m.Cc = addresses(reader.Header, "From"), addresses(reader.Header, "To"), addresses(reader.Header, "Cc")
	// An error in one of them leaves it empty; the headers are shown as sent too.
	m.Subject, _ = reader.Header.Subject()
	m.Date, _ = reader.Header.Date()
	if err := m.readParts(reader); err != nil {
		m.Fault = err.Error()
	}
	return m
}

func (m *message) readParts(reader *mail.Reader) error {
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !gomessage.IsUnknownCharset(err) && !gomessage.IsUnknownEncoding(err) {
			return err
		}
		header, ok := part.Header.(*mail.InlineHeader)
		if !ok {
			continue
		}
		body, err := io.ReadAll(part.Body)
		switch kind, _, _ := header.ContentType(); {
		case kind == "text/html" && m.HTML == "":
			m.HTML = string(body)
		case kind == "text/plain" && m.Text == "":
			m.Text = string(body)
		}
		if err != nil {
			return err
		}
	}
}

func addresses(header mail.Header, key string) string {
	list, err := header.AddressList(key)
	if err != nil {
		return header.Get(key)
	}
	var shown []string
	for _, a := range list {
		if a.Name == "" {
			shown = append(shown, a.Address)
		} else {
			shown = append(shown, a.Name+" <"+a.Address+">")
		}
	}
	return strings.Join(shown, ", ")
}
