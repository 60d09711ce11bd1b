// Package metrics counts what the service does, and tells it in the text form of OpenMetrics 1.0
// (https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md).
//
// Labels are of few values that the product itself knows: no name of a person, a project or a
// request is one, so that what is told neither grows with them nor says who they are.
package metrics

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ContentType is that of what Write writes.
const ContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// Registry holds families of samples. It may be used concurrently.
type Registry struct {
	mu       sync.Mutex
	families []*family
	read     func(context.Context) map[string]float64
}

// family is what has one name.
type family struct {
	name, kind, help string
	labels           []string
	buckets          []float64
	samples          map[string]*sample // by the values of the labels
}

type sample struct {
	values []string
	sum    float64
	counts []uint64 // of a histogram, for each bucket and for what is above all
}

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

func (r *Registry) family(kind, name, help string, buckets []float64, labels ...string) *family {
	f := &family{name: name, kind: kind, help: help, buckets: buckets, labels: labels, samples: map[string]*sample{}}
	r.families = append(r.families, f)
	return f
}

// add counts one of so much.
func (r *Registry) add(f *family, amount float64, values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.Join(values, "\x00")
	s := f.samples[key]
	if s == nil {
		s = &sample{values: values, counts: make([]uint64, len(f.buckets)+1)}
		f.samples[key] = s
	}
	s.sum += amount
	at, _ := slices.BinarySearch(f.buckets, amount)
	s.counts[at]++
}

// Write writes all families. Gauges are read now; one that cannot be known is left out.
func (r *Registry) Write(ctx context.Context, w io.Writer) error {
	now := map[string]float64{}
	if r.read != nil {
		now = r.read(ctx)
	}
	r.mu.Lock()
	var b strings.Builder
	for _, f := range r.families {
		f.write(&b, now)
	}
	r.mu.Unlock()
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *family) write(b *strings.Builder, now map[string]float64) {
	fmt.Fprintf(b, "# TYPE %s %s\n", f.name, f.kind)
	if strings.HasSuffix(f.name, "_seconds") {
		fmt.Fprintf(b, "# UNIT %s seconds\n", f.name)
	}
	fmt.Fprintf(b, "# HELP %s %s\n", f.name, escape.Replace(f.help))
	if value, ok := now[f.name]; ok && f.kind == gauge {
		fmt.Fprintf(b, "%s %s\n", f.name, number(value))
	}
	for _, key := range slices.Sorted(maps.Keys(f.samples)) {
		s := f.samples[key]
		labels := f.labelled(s.values)
		switch f.kind {
		case counter:
			fmt.Fprintf(b, "%s_total%s %s\n", f.name, braced(labels), number(s.sum))
		case info:
			fmt.Fprintf(b, "%s_info%s 1\n", f.name, braced(labels))
		case histogram:
			var sum uint64
			for i, count := range s.counts {
				sum += count
				bound := "+Inf"
				if i < len(f.buckets) {
					bound = number(f.buckets[i])
				}
				fmt.Fprintf(b, "%s_bucket%s %d\n", f.name, braced(append(labels[:len(labels):len(labels)], `le="`+bound+`"`)), sum)
			}
			fmt.Fprintf(b, "%s_count%s %d\n%s_sum%s %s\n", f.name, braced(labels), sum, f.name, braced(labels), number(s.sum))
		}
	}
}

const info = "info"

func (f *family) labelled(values []string) (all []string) {
	for i, name := range f.labels {
		all = append(all, name+`="`+escape.Replace(values[i])+`"`)
	}
	return all
}

func braced(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return "{" + strings.Join(labels, ",") + "}"
}

var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// number spells a whole number with .0, as bounds of buckets have to be.
func number(n float64) string {
	text := strconv.FormatFloat(n, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}
