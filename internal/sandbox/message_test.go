package sandbox

import (
	"strings"
	"testing"
)

func TestParseMessageNamesWhatItCannotRead(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want message
	}{
		"a plain mail":        {"Subject: hi\r\n\r\nhello", message{Subject: "hi", Text: "hello"}},
		"only HTML":           {"Content-Type: text/html\r\n\r\n<p>hello", message{HTML: "<p>hello"}},
		"no mail at all":      {"nothing of the kind", message{Fault: "malformed"}},
		"an unfinished part":  {"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nhalf", message{Text: "half", Fault: "unfinished"}},
		"an odd address":      {"From: @@\r\n\r\n", message{From: "@@"}},
		"an attachment":       {"Content-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n<p>x", message{}},
		"an unknown encoding": {"Content-Transfer-Encoding: x-odd\r\n\r\nhello", message{Fault: "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseMessage([]byte(c.raw))
			if got.Subject != c.want.Subject || got.From != c.want.From || got.HTML != c.want.HTML || !strings.HasPrefix(got.Text, c.want.Text) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if (c.want.Fault != "") != (got.Fault != "") {
				t.Errorf("fault %q, want one: %v", got.Fault, c.want.Fault != "")
			}
		})
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte("From: a@example.com\r\nSubject: =?utf-8?q?=C3=BC?=\r\n\r\nhello"))
	f.Add([]byte("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Add([]byte{0, 0xff, '\n', '\n'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := parseMessage(raw)
		if len(m.HTML)+len(m.Text) > 4*len(raw)+64 {
			t.Errorf("%d bytes became %d", len(raw), len(m.HTML)+len(m.Text))
		}
	})
}

func TestSplitLinksLosesNothing(t *testing.T) {
	for _, text := range []string{"", "no link", "http://a", "see https://a/?b=c&d=e#f, or <http://b> and javascript:x", "http://", "a http://b\nhttp://c d"} {
		var joined strings.Builder
		for _, piece := range splitLinks(text) {
			joined.WriteString(piece.Text)
			if piece.IsLink && !strings.HasPrefix(piece.Text, "http") {
				t.Errorf("%q is a link", piece.Text)
			}
		}
		if joined.String() != text {
			t.Errorf("%q became %q", text, joined.String())
		}
	}
}
