package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/ledger"
	"jitaccess/internal/metrics"
)

// scrapeTime bounds what is asked of the ledger for a scraper.
const scrapeTime = time.Second

// refusalsEvery is how often it is said in the log that scrapers are refused, at most.
const refusalsEvery = time.Minute

// newMetrics makes what is told of the service; nil where nobody reads it. kept is the ledger, or
// nil; it and policyRead are asked when somebody reads.
func newMetrics(c *config.Config, kept func() *ledger.Store, policyRead func() time.Time, k clock) *metrics.Service {
	if c.Metrics.Address == "" {
		return nil
	}
	return metrics.New(version, func(ctx context.Context) map[string]float64 {
		now, read := k.now(), map[string]float64{}
		age := func(name string, since time.Time) {
			if !since.IsZero() {
				read[name] = max(0, now.Sub(since).Seconds())
			}
		}
		age(metrics.PolicyAge, policyRead())
		store := kept()
		if store == nil {
			return read
		}
		ctx, cancel := context.WithTimeout(ctx, scrapeTime)
		defer cancel()
		count, oldest, swept, err := store.Outbox(ctx)
		if read[metrics.LedgerReachable] = 1; err != nil {
			read[metrics.LedgerReachable] = 0
			return read
		}
		read[metrics.OutboxMessages], read[metrics.OutboxAge] = float64(count), 0
		age(metrics.OutboxAge, oldest)
		age(metrics.SweepAge, swept)
		return read
	})
}

// forScrapers is what answers them.
func forScrapers(ctx context.Context, c *config.Config, google *cloud, m *metrics.Service, log *slog.Logger, k clock) (
	http.Handler, error) {
	if m == nil {
		return nil, nil
	}
	token, err := keptText(ctx, "METRICS_TOKEN", c.Metrics.Token, google.here)
	if err == nil && !config.IsMetricsToken(token) {
		err = fmt.Errorf("METRICS_TOKEN, as it is kept: must be 16 characters or more of letters, digits and . _ ~ + / -")
	}
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var said time.Time
	return m.Handler(token, func(why string) {
		mu.Lock()
		defer mu.Unlock()
		if now := k.now(); now.Sub(said) >= refusalsEvery {
			said = now
			log.Warn("a scraper of metrics was refused: "+why+"; have it send METRICS_TOKEN (docs/metrics.md)",
				"event", events.Refusal)
		}
	}), nil
}

// policyRead is when a policy was last read; zero where none is.
func policyRead(p broker.Policy) time.Time {
	if live, ok := p.(*livePolicy); ok {
		if at := live.succeeded.Load(); at != nil {
			return *at
		}
	}
	return time.Time{}
}

// listenForScrapers is where they come; nil where none do.
func listenForScrapers(c *config.Config) (net.Listener, error) {
	if c.Metrics.Address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Metrics.Address)
	if err != nil {
		return nil, fmt.Errorf("METRICS_ADDRESS: %w", err)
	}
	return l, nil
}

// serveMetrics answers scrapers at a listener until ctx ends.
func serveMetrics(ctx context.Context, listener net.Listener, h http.Handler) error {
	s := newHTTPServer(h)
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s.Serve(listener)
}
