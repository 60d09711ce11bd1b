package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	cli "jitaccess/internal/client"
)

func (c *caller) askOptions() {
	c.flags.StringVar(&c.template, "template", "", "the `key` of the template; required")
	c.flags.Var(&c.data, "data", "`NAME=VALUE` of the template, once for each")
	c.flags.StringVar(&c.key, "key-file", c.env("APP_KEY_FILE"),
		"a `file` with the application's key in Base64 (or APP_KEY_FILE); - is standard input")
	c.flags.StringVar(&c.uri, "uri", c.env("APP_URI"), "the `URI` of the application (or APP_URI)")
	c.flags.StringVar(&c.subject, "subject", "", "whose access it is, as an `address`; required")
	c.flags.StringVar(&c.reason, "reason", "", "why; else the title of the template")
	c.lengthOption("for how `long`; else what the template says")
	c.flags.StringVar(&c.again, "idempotency-key", "",
		"a `name` for what is asked, so that another run asks for the same; else each run asks anew")
	c.flags.BoolVar(&c.watch, "wait", false, "wait until it is decided, and print the access token alone")
	c.waitOptions()
	c.impersonateOptions()
	c.jsonOption()
}

// ask asks as an application. What it prints without --json is one line for scripts: the access token, or without
// --wait the number of the approval.
func (c *caller) ask([]string) error {
	for name, value := range map[string]string{"template": c.template, "key-file": c.key, "uri": c.uri, "subject": c.subject} {
		if value == "" {
			return wrong("ask needs --%s", name)
		}
	}
	text, err := c.readSecret(c.key)
	if err != nil {
		return wrong("%v", err)
	}
	key, err := cli.ParseKey(text)
	if err != nil {
		return wrong("%s: %v", c.key, err)
	}
	s, err := c.serviceOfApplication()
	if err != nil {
		return err
	}
	a := cli.Application{Service: s, URI: c.uri, Subject: c.subject, Key: key, Now: c.now}
	if c.again == "" {
		c.again = rand.Text()
	}
	began := c.now()
	return c.within(func() error {
		said, as, err := persistently(c, began, func(ctx context.Context) (cli.Approval, cli.Answer, error) {
			if err := c.passesFront(ctx, s); err != nil {
				return cli.Approval{}, nil, err
			}
			return a.Ask(ctx, cli.NewApproval{Template: c.template, Data: c.data, Reason: c.reason, Minutes: c.minutes()}, c.again)
		})
		if err != nil {
			return err
		}
		for _, w := range said.Warnings {
			c.warnings([]string{w.Message})
		}
		if !c.watch {
			if c.json {
				return c.answered(as)
			}
			fmt.Fprintf(c.stderr, "%s waits at %s\n", plain(said.ID), plain(said.URL))
			_, err := fmt.Fprintln(c.stdout, plain(said.ID))
			return err
		}
		if said.Status == "pending" {
			fmt.Fprintf(c.stderr, "%s waits at %s\n", plain(said.ID), plain(said.URL))
		}
		for said.Status == "pending" {
			looked := c.now()
			said, as, err = persistently(c, began, func(ctx context.Context) (cli.Approval, cli.Answer, error) {
				if err := c.passesFront(ctx, s); err != nil {
					return cli.Approval{}, nil, err
				}
				return a.Wait(ctx, said.ID)
			})
			if err != nil {
				return err
			}
			if c.terminal(c.stderr) {
				c.progress(fmt.Sprintf("waiting (%s)", c.now().Sub(began).Round(time.Second)))
			}
			if said.Status == "pending" && c.now().Sub(looked) < time.Second { // too many wait already
				if err := c.sleep(c.ctx, 5*time.Second); err != nil {
					return err
				}
			}
		}
		c.settled()
		if c.json {
			err = c.answered(as)
		} else if said.Status == "approved" {
			_, err = fmt.Fprintln(c.stdout, plain(said.AccessToken))
		}
		if err != nil || said.Status == "approved" {
			return err
		}
		if said.Status == "lapsed" {
			return ended(exitNobody, "nobody has decided in time")
		}
		why := ""
		for _, d := range said.Decisions {
			if d.Verdict == "deny" {
				why = fmt.Sprintf(" by %s: %s", plain(d.By), plain(d.Comment))
			}
		}
		return ended(exitRefused, "it was not approved: %s%s", plain(said.Status), why)
	})
}

// serviceOfApplication is the one that is named, or that somebody is logged in to. An application needs no log-in, but
// where a proxy lets only those pass whom it knows the token of login goes along, to its own origin alone.
func (c *caller) serviceOfApplication() (*cli.Service, error) {
	switch {
	case c.address == "" && c.impersonate != "":
		return nil, wrong("with --impersonate ask needs --url")
	case c.address == "":
		return c.service()
	}
	origin, err := cli.ParseOrigin(c.address)
	if err != nil {
		return nil, wrong("%v", err)
	}
	if c.impersonate != "" { // which passesFront gets
		return &cli.Service{Origin: origin}, nil
	}
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	switch t, err := store.Load(); {
	case errors.Is(err, cli.ErrNoToken):
		return &cli.Service{Origin: origin}, nil
	case err != nil:
		return nil, err
	case t.Origin != origin:
		return &cli.Service{Origin: origin}, nil
	}
	return c.service()
}

// passesFront has a service account pass Identity-Aware Proxy, anew before what lets it pass is over. Nothing of it
// is kept.
func (c *caller) passesFront(ctx context.Context, s *cli.Service) error {
	const ahead = 5 * time.Minute
	if c.impersonate == "" || s.Token.Value != "" && (s.Token.Expires.IsZero() || s.Token.Expires.After(c.now().Add(ahead))) {
		return nil
	}
	signed, err := cli.SignIn{Origin: s.Origin, Front: cli.IAP, Impersonate: c.impersonate, Audience: c.audience, Run: c.run}.Do(ctx)
	s.Token = signed.Token
	return err
}

// within has what is done end after the timeout, if there is one, as that nobody has decided.
func (c *caller) within(do func() error) error {
	outer := c.ctx
	if c.timeout > 0 {
		ctx, cancel := context.WithTimeout(outer, c.timeout)
		defer cancel()
		c.ctx = ctx
		defer func() { c.ctx = outer }()
	}
	err := do()
	if err != nil && c.ctx.Err() != nil && outer.Err() == nil {
		c.settled()
		return ended(exitNobody, "nobody has decided within %s; it goes on waiting", c.timeout)
	}
	return err
}

// persistently tries what may be tried again until it is refused for a cause that does not pass.
func persistently[T any](c *caller, began time.Time, try func(context.Context) (T, cli.Answer, error)) (T, cli.Answer, error) {
	said := ""
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		v, as, err := try(c.ctx)
		if err == nil || c.ctx.Err() != nil || !passes(err) {
			return v, as, err
		}
		if c.timeout == 0 && c.now().Sub(began) > patience {
			return v, as, err
		}
		if text := "trying again; " + err.Error(); text != said {
			c.progress(text)
			said = text
		}
		if err := c.sleep(c.ctx, pause); err != nil {
			return v, as, err
		}
	}
}

// patience is how long what does not answer is tried again where no --timeout says so.
const patience = 2 * time.Minute
