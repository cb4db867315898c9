# One tag, and on each client the image that fits it.
job "featuretest" {
  type = "batch"

  # Only where the image runs.
  constraint {
    attribute = "${meta.metahub_arch}"
    operator  = "set_contains_any"
    value     = "zen3,cascadelake"
  }

  group "featuretest" {
    task "featuretest" {
      driver = "docker"

      config {
        image = "hub.example/qnib/featuretest:latest"
      }
    }
  }
}
