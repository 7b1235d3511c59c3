# How large must a sample be? The power of a t test, by the formula and by simulation.
library(shiny)
library(ggplot2)

ui <- fluidPage(
  tags$head(tags$style(HTML("body { max-width: 1100px; margin: 0 auto; padding: 1rem 1rem 3rem } h2 { margin-bottom: 1.2rem }"))),
  title = "Statistical power",
  h2("How large must a sample be?"),
  sidebarLayout(
    sidebarPanel(
      sliderInput("effect", "Effect (Cohen's d)", min = 0, max = 1.5, value = 0.5, step = 0.05),
      sliderInput("n", "Participants per group", min = 5, max = 200, value = 40),
      selectInput("alpha", "Level of significance", choices = c(0.05, 0.01, 0.005)),
      actionButton("again", "Draw new samples")
    ),
    mainPanel(
      h4(textOutput("power")),
      plotOutput("curve", height = "280px"),
      plotOutput("samples", height = "220px")
    )
  )
)

power_of <- function(n, input) {
  if (input$effect == 0) return(as.numeric(input$alpha))
  power.t.test(n = n, delta = input$effect, sig.level = as.numeric(input$alpha))$power
}

server <- function(input, output, session) {
  output$power <- renderText(sprintf("Power: %.0f %%", 100 * power_of(input$n, input)))

  output$curve <- renderPlot({
    sizes <- seq(5, 200, by = 3)
    d <- data.frame(n = sizes, power = vapply(sizes, power_of, numeric(1), input))
    ggplot(d, aes(n, power)) + geom_hline(yintercept = 0.8, linetype = 2, colour = "grey60") + geom_line(colour = "#2f6f6a", linewidth = 1) +
      geom_vline(xintercept = input$n, colour = "#a5642a") + scale_y_continuous(limits = c(0, 1)) +
      labs(x = "participants per group", y = "power") + theme_minimal(base_size = 14)
  }, res = 96)

  output$samples <- renderPlot({
    input$again
    d <- data.frame(group = rep(c("control", "treated"), each = input$n), value = c(rnorm(input$n), rnorm(input$n, input$effect)))
    p <- t.test(value ~ group, d)$p.value
    ggplot(d, aes(value, group)) + geom_jitter(height = 0.15, alpha = 0.4, colour = "#2f6f6a") + stat_summary(fun = mean, geom = "point", size = 4, colour = "#a5642a") +
      labs(x = NULL, y = NULL, subtitle = if (p < 0.001) "one experiment: p < 0.001" else sprintf("one experiment: p = %.3f", p)) + theme_minimal(base_size = 14)
  }, res = 96)
}

shinyApp(ui, server)
