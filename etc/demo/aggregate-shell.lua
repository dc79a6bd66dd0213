shell {
      about   = "Adds up by month and channel; with R installed, recipes/aggregate.R does the same",
      script  = "recipes/aggregate.sh",
      inputs  = { "sales_clean" },
      outputs = { "revenue" },
      limits  = { memory = "128m" },
    }
