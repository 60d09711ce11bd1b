package broker

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

var update = flag.Bool("update", false, "write the table of docs/notifications.md anew")

// The document says what the code does.
func TestTheDocumentSaysWhoHearsWhat(t *testing.T) {
	const (
		path  = "../../docs/notifications.md"
		begin = "<!-- who hears what: written by go test ./internal/broker -update -->\n"
		end   = "<!-- end -->\n"
	)
	var table strings.Builder
	table.WriteString("| what happens | mail to | in copy | kind |\n|---|---|---|---|\n")
	for _, h := range hearings {
		to, cc, kind := h.to, h.cc, string(h.kind)
		if h.machines {
			to, cc = nobody, nobody
		}
		if kind == "" {
			kind = string(nobody)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", h.what, to, cc, kind)
	}
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(document), begin)
	was, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the document has no place for the table")
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if was != table.String() {
		t.Errorf("docs/notifications.md differs (run with -update); want\n%s", table.String())
	}
}

// Every kind of notice is in the table, and whoever is told something is somebody.
func TestEveryNoticeHasAnAudience(t *testing.T) {
	kinds := map[access.NoticeKind]bool{}
	seen := map[access.Action]bool{}
	for _, h := range hearings {
		// Reminders are two: of what waits, and of what ends. Of some of what is done people get
		// no mail.
		if seen[h.did] && h.kind != access.NoticeEnding && h.kind != access.NoticeHappened {
			t.Errorf("%s stands there twice", h.did)
		}
		seen[h.did], kinds[h.kind] = true, true
		if told := h.to != nobody || h.machines; told != (h.kind != "") {
			t.Errorf("%s: tells %q to %s", h.did, h.kind, h.to)
		}
	}
	for _, kind := range []access.NoticeKind{access.NoticeReview, access.NoticeApproved, access.NoticeDenied, access.NoticeWithdrawn,
		access.NoticeReminder, access.NoticeEscalated, access.NoticeEnding, access.NoticeEnded, access.NoticeSelfApproved,
		access.NoticeGlass, access.NoticeGlassReviewed, access.NoticeHappened,
		access.NoticePasskeyAdded, access.NoticePasskeyApproved, access.NoticePasskeyRemoved} {
		if !kinds[kind] {
			t.Errorf("nobody hears of %s", kind)
		}
	}
}
