package main

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

var benchmarks = flag.String("benchmarks", "", "write docs/performance.md from this output of go test -bench")

//go:embed testdata/performance.md
var performance string

// results are what benchmarks printed: every run of every unit, by benchmark.
type results struct {
	// CPU is the model of the processor.
	CPU    string
	Cores  int
	Go     string
	Runs   int
	Rows   []*result
	byName map[string]*result
}

type result struct {
	Name, Package string
	runs          map[string][]float64
}

func parseBenchmarks(r io.Reader) (*results, error) {
	all := &results{Cores: runtime.NumCPU(), Go: runtime.Version(), byName: map[string]*result{}}
	inside := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL") {
			return nil, errors.New("a benchmark has failed")
		}
		if value, ok := strings.CutPrefix(line, "pkg: "); ok {
			inside = strings.TrimPrefix(value, "jitaccess/")
		}
		if value, ok := strings.CutPrefix(line, "cpu: "); ok {
			all.CPU = value
		}
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "Benchmark") || len(fields) < 4 {
			continue
		}
		name := strings.TrimSuffix(fields[0], "-"+strconv.Itoa(runtime.GOMAXPROCS(0)))
		row := all.byName[name]
		if row == nil {
			row = &result{Name: name, Package: inside, runs: map[string][]float64{}}
			all.byName[name] = row
			all.Rows = append(all.Rows, row)
		}
		if row.Package != inside {
			return nil, fmt.Errorf("%s is of two packages, %s and %s: their figures would be one", name, row.Package, inside)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			row.runs[fields[i+1]] = append(row.runs[fields[i+1]], value)
		}
		all.Runs = max(all.Runs, len(row.runs["ns/op"]))
	}
	return all, lines.Err()
}

// of are all runs of a unit, sorted.
func (r *results) of(name, unit string) ([]float64, error) {
	row := r.byName[name]
	if row == nil || len(row.runs[unit]) == 0 {
		return nil, fmt.Errorf("nobody measured the %s of %s", unit, name)
	}
	return slices.Sorted(slices.Values(row.runs[unit])), nil
}

// Median, Least and Most are those of the runs, with three digits.
func (r *results) Median(name, unit string) (string, error) {
	values, err := r.of(name, unit)
	if err != nil {
		return "", err
	}
	return digits(values[len(values)/2]), nil
}

func (r *results) Least(name, unit string) (string, error) {
	values, err := r.of(name, unit)
	if err != nil {
		return "", err
	}
	return digits(values[0]), nil
}

func (r *results) Most(name, unit string) (string, error) {
	values, err := r.of(name, unit)
	if err != nil {
		return "", err
	}
	return digits(values[len(values)-1]), nil
}

// Time is the median of what one operation takes, in a unit that fits.
func (r *results) Time(name string) (string, error) {
	values, err := r.of(name, "ns/op")
	if err != nil {
		return "", err
	}
	switch v := values[len(values)/2]; {
	case v >= 1e9:
		return digits(v/1e9) + " s", nil
	case v >= 1e6:
		return digits(v/1e6) + " ms", nil
	default:
		return digits(v/1e3) + " µs", nil
	}
}

// Weighed are the pages whose weight was counted.
func (r *results) Weighed() (pages []string) {
	if row := r.byName["BenchmarkWeight"]; row != nil {
		for unit := range row.runs {
			if page, ok := strings.CutPrefix(unit, "KB-page-"); ok {
				pages = append(pages, page)
			}
		}
	}
	slices.Sort(pages)
	return pages
}

func digits(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (r *results) document() ([]byte, error) {
	t, err := template.New("performance.md").Parse(performance)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.Rows, func(a, b *result) int { return cmp.Compare(a.Package, b.Package) })
	var b bytes.Buffer
	err = t.Execute(&b, r)
	return b.Bytes(), err
}

// TestPerformanceDocument reads what benchmarks print; with -benchmarks it writes
// docs/performance.md from it, which is how `make bench` does.
func TestPerformanceDocument(t *testing.T) {
	sample := fmt.Sprintf("pkg: jitaccess/internal/x\ncpu: Some Processor\nBenchmarkA/b=1-%[1]d \t 2\t 1500 ns/op\t 3.14159 MB-most\n"+
		"BenchmarkA/b=1-%[1]d 2 900 ns/op 1 MB-most\nBenchmarkA/b=1-%[1]d 2 1000 ns/op 120.4 MB-most\nPASS\nok \tjitaccess/internal/x\t1s\n", runtime.GOMAXPROCS(0))
	r, err := parseBenchmarks(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	for want, read := range map[string]func() (string, error){
		"3.14": func() (string, error) { return r.Median("BenchmarkA/b=1", "MB-most") },
		"1":    func() (string, error) { return r.Least("BenchmarkA/b=1", "MB-most") },
		"120":  func() (string, error) { return r.Most("BenchmarkA/b=1", "MB-most") },
		"1 µs": func() (string, error) { return r.Time("BenchmarkA/b=1") },
		"":     func() (string, error) { return r.Median("BenchmarkA/b=1", "writes") },
	} {
		if got, err := read(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if r.CPU != "Some Processor" || r.Runs != 3 || r.Rows[0].Package != "internal/x" {
		t.Errorf("%+v", r)
	}
	if _, err := parseBenchmarks(strings.NewReader(sample + "--- FAIL: BenchmarkB\n")); err == nil {
		t.Error("a failed benchmark goes unnoticed")
	}
	if _, err := parseBenchmarks(strings.NewReader(sample + strings.ReplaceAll(sample, "internal/x", "internal/y"))); err == nil {
		t.Error("the figures of two benchmarks are taken for those of one")
	}
	if *benchmarks == "" {
		return
	}
	output, err := os.Open(*benchmarks)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	if r, err = parseBenchmarks(output); err != nil {
		t.Fatal(err)
	}
	page, err := r.document()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("../../docs/performance.md", page, 0o644); err != nil {
		t.Fatal(err)
	}
}
