import ca.uhn.fhir.batch2.jobs.bulkmodify.reindex.ReindexProvider;
import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.batch2.jobs.expunge.DeleteExpungeProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.api.IBinaryStorageSvc;
import ca.uhn.fhir.jpa.binary.svc.NullBinaryStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirPostgresDialect;
import ca.uhn.fhir.jpa.model.entity.StorageSettings;
import ca.uhn.fhir.jpa.provider.InstanceReindexProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.validation.ValidationSettings;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;

/**
 * A FHIR R4 server of HAPI's JPA modules on PostgreSQL, at http://127.0.0.1:PORT/fhir. System properties: hapi.port, hapi.url,
 * hapi.user, hapi.password, hapi.tags (VERSIONED, NON_VERSIONED, INLINE), hapi.history (true, false). It creates HAPI's tables in an empty database.
 */
public final class HapiServer {
  public static void main(String[] arguments) throws Exception {
    var context = new AnnotationConfigApplicationContext(Settings.class);
    var server = new Server();
    var connector = new ServerConnector(server);
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.getInteger("hapi.port"));
    server.addConnector(connector);
    var handler = new ServletContextHandler();
    handler.addServlet(new ServletHolder(servlet(context)), "/fhir/*");
    server.setHandler(handler);
    server.start();
    server.join();
  }

  private static RestfulServer servlet(ApplicationContext context) {
    var servlet = new RestfulServer(context.getBean(FhirContext.class));
    servlet.registerProviders(context.getBean("myResourceProvidersR4", ResourceProviderFactory.class).createProviders());
    servlet.registerProviders(
        context.getBean("mySystemProviderR4"),
        context.getBean(InstanceReindexProvider.class),
        context.getBean(ReindexProvider.class),
        context.getBean(DeleteExpungeProvider.class),
        context.getBean(BulkDataExportProvider.class));
    servlet.setServerConformanceProvider(
        new JpaCapabilityStatementProvider(
            servlet,
            context.getBean(IFhirSystemDao.class),
            context.getBean(JpaStorageSettings.class),
            context.getBean(ISearchParamRegistry.class),
            context.getBean(IValidationSupport.class)));
    servlet.setPagingProvider(context.getBean(DatabaseBackedPagingProvider.class));
    return servlet;
  }

  @Configuration
  @Import({
    JpaR4Config.class,
    HapiJpaConfig.class,
    JpaBatch2Config.class,
    Batch2JobsConfig.class,
    SubscriptionChannelConfig.class,
    ThreadPoolFactoryConfig.class
  })
  static class Settings {
    @Bean
    JpaStorageSettings storageSettings() {
      var settings = new JpaStorageSettings();
      settings.setTagStorageMode(
          StorageSettings.TagStorageModeEnum.valueOf(System.getProperty("hapi.tags", "VERSIONED")));
      settings.setResourceDbHistoryEnabled(!"false".equals(System.getProperty("hapi.history")));
      settings.setExpungeEnabled(true);
      settings.setDeleteExpungeEnabled(true);
      settings.setAllowMultipleDelete(true);
      settings.setUpdateWithHistoryRewriteEnabled(true);
      settings.setJobFastTrackingEnabled(true);
      settings.setReuseCachedSearchResultsForMillis(null);
      return settings;
    }

    @Bean
    PartitionSettings partitionSettings() {
      return new PartitionSettings();
    }

    @Bean
    SubscriptionSettings subscriptionSettings() {
      return new SubscriptionSettings();
    }

    @Bean
    ValidationSettings validationSettings() {
      return new ValidationSettings();
    }

    @Bean
    IBinaryStorageSvc binaryStorage() {
      return new NullBinaryStorageSvcImpl();
    }

    @Bean
    DataSource dataSource() throws IOException, SQLException {
      var source = new BasicDataSource();
      source.setUrl(System.getProperty("hapi.url"));
      source.setUsername(System.getProperty("hapi.user"));
      source.setPassword(System.getProperty("hapi.password"));
      source.setMaxTotal(20);
      createTables(source);
      return source;
    }

    /** HAPI's own statements, which its jar has. */
    private static void createTables(DataSource source) throws IOException, SQLException {
      var file = "/ca/uhn/hapi/fhir/jpa/docs/database/nonpartitioned/postgres.sql";
      try (var connection = source.getConnection();
          var statement = connection.createStatement();
          var sql = JpaStorageSettings.class.getResourceAsStream(file)) {
        var found = statement.executeQuery("SELECT to_regclass('hfj_resource') IS NOT NULL");
        found.next();
        if (!found.getBoolean(1)) statement.execute(new String(sql.readAllBytes(), StandardCharsets.UTF_8));
      }
    }

    @Bean
    LocalContainerEntityManagerFactoryBean entityManagerFactory(
        ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings settings, DataSource source) {
      var factory = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, settings);
      var properties = new Properties();
      properties.put("hibernate.dialect", HapiFhirPostgresDialect.class.getName());
      properties.put("hibernate.hbm2ddl.auto", "none");
      properties.put("hibernate.search.enabled", "false");
      factory.setPersistenceUnitName("HAPI_PU");
      factory.setDataSource(source);
      factory.setJpaProperties(properties);
      return factory;
    }

    @Bean
    @Primary
    JpaTransactionManager transactionManager(EntityManagerFactory factory) {
      return new JpaTransactionManager(factory);
    }
  }
}
