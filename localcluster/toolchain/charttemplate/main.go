// Command charttemplate renders a Helm chart directory to standard output.
//
// It is `helm template --include-crds` without the rest of helm (whose command line
// costs two minutes of compiling): charttemplate CHART RELEASE NAMESPACE < values.yaml
package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := render(); err != nil {
		fmt.Fprintln(os.Stderr, "charttemplate:", err)
		os.Exit(1)
	}
}

func render() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: charttemplate CHART RELEASE NAMESPACE < values.yaml")
	}
	chart, err := loader.Load(os.Args[1])
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	given := map[string]any{}
	if err := yaml.Unmarshal(raw, &given); err != nil {
		return err
	}
	values, err := util.ToRenderValues(chart, given, common.ReleaseOptions{
		Name: os.Args[2], Namespace: os.Args[3], IsInstall: true, Revision: 1,
	}, common.DefaultCapabilities)
	if err != nil {
		return err
	}
	files, err := engine.Render(chart, values)
	if err != nil {
		return err
	}
	for _, crd := range chart.CRDObjects() {
		fmt.Printf("---\n%s\n", crd.File.Data)
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(files[name]) != "" {
			fmt.Printf("---\n# %s\n%s\n", name, files[name])
		}
	}
	return nil
}
