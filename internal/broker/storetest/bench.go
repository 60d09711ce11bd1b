package storetest

import (
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// Bench measures a store that remembers, which already has requests of 200 people
// (person0@example.com and on), on 50 resources (projects/p0 and on), each with the reason
// "incident" and a number. made is the event with which a request of an id begins.
func Bench(b *testing.B, s broker.Memory, now func() time.Time, made func(id string) access.Event) {
	b.Run("commit", func(b *testing.B) {
		for i := range b.N {
			if _, err := s.Commit(b.Context(), made(fmt.Sprintf("mpa-%016d", time.Now().UnixNano()%1e15+int64(i))), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		const id = "mpa-AAAAAAAAAAAAAAAA"
		if _, err := s.Commit(b.Context(), made(id), nil); err != nil && access.AsError(err).Kind != access.Conflict {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := s.Open(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
	for what, l := range map[string]access.Listing{
		"list all":                {},
		"list somebody's":         {Principal: "person7@example.com"},
		"list what waits":         {Reviewer: "person1@example.com", States: []access.State{access.Pending}},
		"list of a resource":      {Resource: "projects/p7"},
		"search that matches all": {Words: "incident"},
		"search that finds none":  {Words: "nothing like it"},
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(b.Context(), l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("due", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Due(b.Context(), now(), access.Due{}, 50); err != nil {
				b.Fatal(err)
			}
		}
	})
}
