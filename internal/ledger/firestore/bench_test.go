package firestore_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker/storetest"
)

// past is how many requests lie in the ledger that is measured; in that of internal/ledger/relational
// are 100,000. The emulator keeps them in its memory, of which it has 512 MB here.
var past = flag.Int("past", 10_000, "how many requests lie in the ledger that is measured")

// full puts requests of 200 people, on 50 resources, into a database, as the ledger writes their
// rows. Entries are written for none.
func full(b *testing.B, address, database string) {
	b.Helper()
	type object = map[string]any
	text := func(format string, args ...any) object { return object{"stringValue": fmt.Sprintf(format, args...)} }
	number := func(n int64) object { return object{"integerValue": fmt.Sprint(n)} }
	began := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	documents := "projects/jit-test/databases/" + database + "/documents"
	var writes []object
	send := func() {
		body, err := json.Marshal(object{"writes": writes})
		if err != nil {
			b.Fatal(err)
		}
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, address+"/v1/"+documents+":commit", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		answer.Body.Close()
		if writes = nil; answer.StatusCode != http.StatusOK {
			b.Fatal(answer.Status)
		}
	}
	for n := 1; n <= *past; n++ {
		id, state := fmt.Sprintf("mpa-%016d", n), "expired"
		if n%100 == 0 {
			state = "pending"
		}
		summary := fmt.Appendf(nil, `{"id":%q,"kind":"peers","principal":"person%d@example.com","resource":"projects/p%d",`+
			`"entitlements":[{"resource":"projects/p","role":"roles/compute.admin"}],"justification":"incident %d","seconds":3600,`+
			`"created":"2025-01-01T00:00:00Z","expires":"2025-01-01T01:00:00Z"}`, id, n%200, n%50, n)
		writes = append(writes, object{"update": object{"name": documents + "/requests/-" + id, "fields": object{
			"version": number(1), "head": text(""), "state": text("%s", state), "summary": object{"bytesValue": summary},
			"principal": text("person%d@example.com", n%200), "resource": text("projects/p%d", n%50),
			"reviewers": object{"arrayValue": object{"values": []object{text("person%d@example.com", (n+1)%200)}}},
			"made":      number(began + int64(n)*60_000_000)}}})
		if len(writes) == 500 || n == *past {
			send()
		}
	}
}

// BenchmarkLedger is that of internal/ledger/relational, on Google's emulator, which is not Firestore:
// it says what a call costs here, and not what it takes there.
func BenchmarkLedger(b *testing.B) {
	b.Run("Firestore emulator", func(b *testing.B) {
		home, address, database := opened(b)
		full(b, address, database)
		c := newClock()
		storetest.Bench(b, store(b, home, c), c.Now, func(id string) access.Event { return asked(c, id) })
	})
}
