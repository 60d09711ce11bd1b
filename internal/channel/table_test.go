package channel_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/webhook"
)

// docs/notifications.md says of each channel what it tells of: what it says is told is, and nothing else.
func TestTheDocumentSaysWhichChannelTellsWhat(t *testing.T) {
	document, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(document), "| kind | subject of the mail | message on the topic | type of the webhook | Slack | Google Chat | Microsoft Teams |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string][]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) == 7 && !strings.HasPrefix(cells[0], "-") {
			rows[cells[0]] = cells
		}
	}
	all := append(everything(), after(asked(ben), access.ReviewersAdded, access.NoticeReview), change(access.NoticeChangeWaits), change(access.NoticeChangedAlone))
	kinds := map[string]bool{}
	types := map[string][]string{}
	for _, n := range all {
		row := rows[string(n.Kind)]
		if row == nil {
			t.Errorf("it has no row of %s", n.Kind)
			continue
		}
		kinds[string(n.Kind)] = true
		for i, make := range []func(*world) told{(*world).slack, (*world).googleChat, (*world).teams} {
			w := newWorld(t)
			receipts := make(w).Notify(within(t), n)
			if said := row[4+i] != "–"; said != (len(w.Messages()) > 0) || len(receipts.Failed()) > 0 {
				t.Errorf("%s %s: the document says %q of channel %d, which sent %d messages: %v", n.Kind, n.Did, row[4+i], i, len(w.Messages()), receipts)
			}
		}
		if kind := typeOf(t, n); kind != "" && !slices.Contains(types[string(n.Kind)], kind) {
			types[string(n.Kind)] = append(types[string(n.Kind)], kind)
		}
	}
	for kind, row := range rows {
		said := regexp.MustCompile("`[a-z_.]+`").FindAllString(row[3], -1)
		for i := range said {
			said[i] = strings.Trim(said[i], "`")
		}
		sent := types[kind]
		slices.Sort(said)
		slices.Sort(sent)
		if !kinds[kind] || !slices.Equal(said, sent) {
			t.Errorf("%s: known %t, webhooks %v, the document says %v", kind, kinds[kind], sent, said)
		}
	}
}

// change is a notice of a change of an application.
func change(kind access.NoticeKind) access.Notice {
	return access.Notice{ID: "N-" + string(kind), Kind: kind, At: noon, To: []access.Principal{ben}, BaseURL: "https://jit.example.com/",
		ReviewURL: "https://jit.example.com/apps/deployer", Change: access.ApplicationChange{Application: "deployer", By: ana, At: noon, What: []string{"active"}}}
}

// typeOf is the type of the webhook by which a notice is told; empty where it is not.
func typeOf(t *testing.T, n access.Notice) (kind string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct{ Type string }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		kind = m.Type
	}))
	defer server.Close()
	webhook.New(channel.Config{Read: kept(webhook.Kept(server.URL, "whsec_"+strings.Repeat("AAAA", 10))), Client: server.Client(), Now: time.Now}, true).
		Notify(within(t), n)
	return kind
}
