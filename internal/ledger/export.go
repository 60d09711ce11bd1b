package ledger

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// line is an entry as Export writes it: with it, somebody who has neither the database
// nor a key can verify the chain and the signature.
type line struct {
	Request string          `json:"request"`
	Version int             `json:"version"`
	Digest  string          `json:"digest"`
	Text    json.RawMessage `json:"text"`
	Parts   []linePart      `json:"parts"`
	// Of a policy, and of a deed, there are these instead. Digest of a policy is that of its
	// text, by which the terms of requests name it; that of a deed is what the next one names.
	Policy    string     `json:"policy,omitempty"`
	Deed      string     `json:"deed,omitempty"` // its kind, a space and its id
	At        *time.Time `json:"at,omitempty"`
	Body      []byte     `json:"body,omitempty"`
	Algorithm string     `json:"algorithm,omitempty"`
	Key       string     `json:"key,omitempty"`
	PublicKey []byte     `json:"public_key,omitempty"`
	Signature []byte     `json:"signature,omitempty"`
}

// linePart is a Part; one that was erased is null in both.
type linePart struct {
	Person  access.Principal `json:"person,omitempty"`
	Salt    []byte           `json:"salt"`
	Content []byte           `json:"content"`
}

// ExportLines writes every policy that was taken, every deed, and then every entry, as a line of JSON, whatever is wrong
// with it. What is not JSON itself is written as a string.
func ExportLines(ctx context.Context, home Home, w io.Writer) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	policies, err := home.Notes(ctx, kindPolicy, maxNotes)
	if err != nil {
		return err
	}
	lineOf := func(n Note, digest string) line {
		s := n.Signature
		return line{At: &n.Made, Body: n.Body, Digest: digest, Text: n.text(), Algorithm: s.Algorithm, Key: s.Key, PublicKey: s.Public,
			Signature: s.Bytes}
	}
	var noted []line
	for _, n := range policies {
		l := lineOf(n, textDigest(n.Body))
		l.Policy = n.ID
		noted = append(noted, l)
	}
	err = eachDeeds(ctx, home, func(kind string, notes []Note) {
		for _, n := range notes {
			l := lineOf(n, textDigest(n.text()))
			l.Deed = kind + " " + n.ID
			noted = append(noted, l)
		}
	})
	if err != nil {
		return err
	}
	for _, l := range noted {
		if err := encoder.Encode(l); err != nil {
			return err
		}
	}
	err = home.Walk(ctx, func(r Record) error {
		for i, e := range r.Entries {
			l := line{Request: r.ID, Version: i + 1, Digest: e.Digest(), Text: e.Text, Algorithm: e.Signature.Algorithm, Key: e.Signature.Key,
				PublicKey: e.Signature.Public, Signature: e.Signature.Bytes}
			if !json.Valid(e.Text) {
				l.Text, _ = json.Marshal(string(e.Text))
			}
			l.Parts = access.Each(e.Parts, func(p Part) linePart { return linePart{p.Person, p.Salt, p.Data} })
			if err := encoder.Encode(l); err != nil {
				return err
			}
		}
		return nil
	})
	return cmp.Or(err, out.Flush())
}

var heading = []string{"request", "version", "time", "action", "by", "method", "requester", "resource", "roles", "reason", "minutes",
	"reviewers",
	"comment", "start", "end", "error", "attestation"}

// ExportTable writes every event as a row of CSV, for spreadsheets. Fields that they
// would take for a formula begin with an apostrophe. The attestation is of the whole request.
func ExportTable(ctx context.Context, home Home, signer Signer, w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(heading); err != nil {
		return err
	}
	err := home.Walk(ctx, func(r Record) error {
		f, err := fold(ctx, r.ID, r.Entries, signer)
		attested := f.attestation(err)
		for i, e := range f.events {
			fields := append(row(f.request, e, i+1), string(attested))
			for n := range fields {
				fields[n] = access.Cell(fields[n])
			}
			if err := out.Write(fields); err != nil {
				return err
			}
		}
		if err != nil {
			return out.Write([]string{access.Cell(r.ID), "", "", "", "", "", "", "", "", "", "", "", "", "", "",
				"damaged: " + access.Cell(err.Error()), string(attested)})
		}
		return nil
	})
	out.Flush()
	return cmp.Or(err, out.Error())
}

func row(r access.Request, e access.Event, version int) []string {
	failure := ""
	if e.Err != nil {
		failure = e.Err.Error()
	}
	return []string{e.Request.ID, strconv.Itoa(version), stamp(e.At), string(e.Action), string(e.Caller.Principal), e.Caller.Method,
		string(r.Principal), string(r.Resource), strings.Join(r.RoleNames(), " "), r.Justification, strconv.Itoa(int(r.Duration / time.Minute)),
		strings.Join(access.Texts(e.Request.Reviewers), " "), e.Decision.Comment, stamp(e.Window.Start), stamp(e.Window.End), failure}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
