package words_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/seal"
)

// twoAdmins keeps deeds in memory, for two administrators.
type twoAdmins struct{ deeds []managed.Deed }

func (a *twoAdmins) Deeds(context.Context, string) ([]managed.Deed, error) { return a.deeds, nil }
func (a *twoAdmins) Append(_ context.Context, d managed.Deed, _ ...access.Notice) error {
	a.deeds = append(a.deeds, d)
	return nil
}
func (a *twoAdmins) Admin(context.Context, access.Caller) error                         { return nil }
func (a *twoAdmins) SoleAdmin() bool                                                    { return false }
func (a *twoAdmins) SecondAdmin(context.Context, access.Caller, access.Principal) error { return nil }
func (a *twoAdmins) ChangeApplication(ctx context.Context, _ access.Caller, _ access.Action, _ access.ApplicationChange,
	keep func(context.Context, ...access.Notice) error) ([]*access.Error, error) {
	return nil, keep(ctx)
}

// changingTwice changes an application while another change of it waits.
func changingTwice(t *testing.T) error {
	sealer, err := seal.New([][]byte{bytes.Repeat([]byte{1}, 32)}, managed.Purpose)
	if err != nil {
		t.Fatal(err)
	}
	kept := &twoAdmins{}
	r := managed.New(managed.Config{Deeds: kept, Authority: kept, Sealer: sealer, Now: time.Now, Random: rand.Reader})
	caller := access.Caller{Principal: ana}
	if _, err := r.Create(t.Context(), caller, "deployer", "https://deploy.example.com", nil); err != nil {
		t.Fatal(err)
	}
	for number := 1; ; number++ {
		if _, err := r.Rotate(t.Context(), caller, "deployer", number); err != nil || number > 2 {
			return err
		}
	}
}
