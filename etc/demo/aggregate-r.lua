r {
      about   = "Adds up by month and channel",
      script  = "recipes/aggregate.R",
      inputs  = { "sales_clean" },
      outputs = { "revenue" },
      limits  = { memory = "512m" },
    }
