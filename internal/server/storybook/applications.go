package storybook

import (
	"bytes"
	"context"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/broker"
	"jitaccess/internal/seal"
	"jitaccess/internal/server"
)

// Deeds keeps them in memory.
type Deeds struct{ All []managed.Deed }

func (d *Deeds) Deeds(_ context.Context, of string) ([]managed.Deed, error) {
	return slices.DeleteFunc(slices.Clone(d.All), func(one managed.Deed) bool { return of != "" && one.Of != of }), nil
}
func (d *Deeds) Append(_ context.Context, one managed.Deed, _ ...access.Notice) error {
	if one.Number != 1+len(slices.DeleteFunc(slices.Clone(d.All), func(other managed.Deed) bool { return other.Of != one.Of })) {
		return &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile, Args: access.Args{"of": one.Of}}
	}
	d.All = append(d.All, one)
	return nil
}

// appStory makes applications for a story, which Carl and Dora manage.
type appStory struct {
	m                *managed.Registry
	clock            time.Time
	asCode, unsealed bool
	atGitHub         bool
}

// managing has applications that were made so.
func managing(make func(*appStory)) func(*State) {
	return func(c *State) {
		c.Admins = []string{"user:" + string(Carl), "user:" + string(Dora)}
		c.Apps = func(c *State) *server.Apps {
			sealer, err := seal.New([][]byte{bytes.Repeat([]byte{1}, 32)}, managed.Purpose)
			if err != nil {
				panic(err)
			}
			s := &appStory{clock: Noon.Add(-48 * time.Hour)}
			s.m = managed.New(managed.Config{Deeds: &Deeds{}, Authority: c.World.World.Broker(), Sealer: sealer, Now: func() time.Time { return s.clock },
				Random: rand.NewChaCha8([32]byte{2})})
			if make != nil {
				make(s)
			}
			apps := &server.Apps{Registry: s.m, Managed: s.m, AsCode: func() bool { return s.asCode }, Unsealed: s.unsealed, AtGitHub: func(string) bool { return s.atGitHub }, Origin: "https://machines.example.com",
				Ask: func(context.Context, access.Caller, broker.AskFor) (broker.Asked, error) {
					return broker.Asked{}, &access.Error{Kind: access.Invalid, Code: access.CodeBadDatum, Field: application.FieldData,
						Args: access.Args{"name": "version", "pattern": `v[0-9.]+`}}
				}}
			if s.unsealed {
				apps.Managed = nil
			}
			return apps
		}
	}
}

func (s *appStory) must(err error) {
	if err != nil {
		panic(err) // a mistake in a story, which the tests that tell every story find
	}
	s.clock = s.clock.Add(3 * time.Hour)
}

func (s *appStory) console() {
	_, err := s.m.Create(context.Background(), access.Caller{Principal: Dora}, "console", "https://console.example.com", nil)
	s.must(err)
}

func (s *appStory) change(who access.Principal, edit func(*managed.Change)) int {
	v, err := s.m.Show(context.Background(), access.Caller{Principal: who}, "deployer")
	s.must(err)
	c := managed.Change{Number: v.Number, URI: v.URI, CallbackHosts: v.CallbackHosts, Active: v.Active, Templates: slices.Clone(v.Templates)}
	edit(&c)
	_, err = s.m.Change(context.Background(), access.Caller{Principal: who}, "deployer", c)
	s.must(err)
	return v.Number + 1
}

// deploy is an application with two templates, of which one signs.
func (s *appStory) deploy() {
	_, err := s.m.Create(context.Background(), access.Caller{Principal: Carl}, "deployer", "https://deploy.example.com", []string{"deploy.example.com"})
	s.must(err)
	template := application.Template{Key: "production-deploy", Name: "Production deploy", Title: "Deploy {version} to {cluster}",
		Data:   []application.Field{{Name: "version", Label: "Version", Pattern: regexp.MustCompile(`v[0-9.]+`)}, {Name: "cluster", Label: "Cluster"}},
		Claims: []string{"ticket"}, Approvals: 1, Approvers: []string{"user:ben.okafor@example.com", "group:leads@example.com"}, MaxDuration: 2 * time.Hour,
		DefaultDuration: 30 * time.Minute, RequestLife: time.Hour, Metadata: map[string]string{"team": "shop"}, Active: true}
	remove := application.Template{Key: "delete-database", Name: "Delete a database", Title: "Delete the database {database} for good",
		Data: []application.Field{{Name: "database"}}, Sign: true, Approvals: 2, Approvers: []string{"group:dba@example.com"}, MaxDuration: 10 * time.Minute,
		DefaultDuration: 10 * time.Minute, RequestLife: time.Hour}
	of := s.change(Carl, func(c *managed.Change) { c.Templates = []application.Template{template, remove} })
	s.must(s.m.Agree(context.Background(), access.Caller{Principal: Dora}, "deployer", of))
}

// waits has somebody want another approver and other hosts.
func (s *appStory) waits(who access.Principal) {
	s.change(who, func(c *managed.Change) {
		c.CallbackHosts = []string{"deploy.example.com", "hooks.example.com"}
		c.Templates[0].Approvers = append(slices.Clone(c.Templates[0].Approvers), "user:eva.sand@example.com")
	})
}
